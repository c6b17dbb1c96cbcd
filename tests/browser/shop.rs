//! A customer picks goods, pays by credit card, is asked by the bank, confirms, and reads the shipping notice.

use std::path::PathBuf;

use serde_json::Value;

use super::cdp::{Browser, Failure, Page, program};
use crate::shop::world::World;

const CARD: &str = "4000002760003184";

fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots").join(format!("{name}.png"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_pays_by_credit_card_and_confirms_a_challenge() -> Result<(), Failure> {
    let Some(program) = program() else {
        eprintln!("skipped: 1 (no chromium; set PAYSTATE_CHROMIUM)");
        return Ok(());
    };
    let world = World::start().await?;
    let mut browser = Browser::start(&program).await?;
    let page = browser.open(world.shop_url(), 1280, 900).await?;

    pick_and_fill(&mut browser, &page).await?;
    browser.click(&page, "#pay").await?;
    browser.wait(&page, "document.querySelector('#challenge')").await?;
    browser.screenshot(&page, &picture("shop-3-challenge")).await?;

    browser.click(&page, "#challenge").await?;
    let bank = browser.opened(&format!("{}/challenge/", world.sandbox.gateway_url())).await?;
    browser.wait(&bank, "document.querySelector('button[value=confirm]')").await?;
    the_bank_asks_in_plain_words(&mut browser, &bank).await?;
    browser.click(&bank, "button[value=confirm]").await?;
    browser.wait(&bank, "document.body.innerText.includes('Confirmed')").await?;
    browser.screenshot(&bank, &picture("bank-confirmed")).await?;
    browser.close(&bank).await?;

    browser.wait(&page, "document.querySelector('[data-notice=customer-shipping]')").await?;
    browser.wait(&page, "document.querySelectorAll('.steps .done').length === 6").await?;
    browser.wait(&page, "document.querySelector('.account .minus')").await?;
    let said = browser.evaluate(&page, "document.querySelector('main:not([hidden])').innerText").await?;
    let said = said.as_str().ok_or("no text")?;
    for words in
        ["Paid ¥500.00", "leaves our warehouse today for 18 Harbour Road", "−¥500.00 since you ordered", "+¥500.00"]
    {
        assert!(said.contains(words), "{words} is not in: {said}");
    }
    browser.screenshot(&page, &picture("shop-4-paid")).await?;

    other_looks(&mut browser, &page, &world).await?;
    the_card_stays_in_the_browser(&mut browser, &page, &world).await?;
    nothing_went_wrong(&browser);
    Ok(())
}

async fn pick_and_fill(browser: &mut Browser, page: &Page) -> Result<(), Failure> {
    browser.wait(page, "document.querySelectorAll('.good').length === 8").await?;
    assert_eq!(browser.evaluate(page, "document.querySelector('#pay').disabled").await?, true);
    browser.screenshot(page, &picture("shop-1-goods")).await?;
    for good in ["tea", "tea", "lamp"] {
        browser.click(page, &format!("[data-good={good}] button:last-child")).await?;
    }
    browser.click(page, "input[value=credit_card]").await?;
    let chip = "[...document.querySelectorAll('.chip')].find((chip) => chip.textContent === 'Bank asks you')";
    browser.evaluate(page, &format!("{chip}.click()")).await?;
    let number = browser.evaluate(page, "document.querySelector('#detail-number').value.replaceAll(' ', '')").await?;
    assert_eq!(number, CARD);
    browser.screenshot(page, &picture("shop-2-filled")).await
}

/// The amount as people read it, on a phone too, by day and by night.
async fn the_bank_asks_in_plain_words(browser: &mut Browser, bank: &Page) -> Result<(), Failure> {
    let said = browser.evaluate(bank, "document.body.innerText").await?;
    assert!(said.as_str().is_some_and(|said| said.contains("500.00 CNY") && !said.contains("50000")), "{said}");
    browser.wait(bank, "getComputedStyle(document.querySelector('.card')).borderRadius === '16px'").await?;
    for width in [1280, 420] {
        browser.resize(bank, width, 800).await?;
        browser.wait(bank, "document.documentElement.scrollWidth <= innerWidth").await?;
        for dark in [true, false] {
            browser.dark(bank, dark).await?;
            let shade = if dark { "dark" } else { "light" };
            browser.screenshot(bank, &picture(&format!("bank-{width}-{shade}"))).await?;
        }
    }
    Ok(())
}

/// Phone width and dark mode, of the order and of a new visit. Nothing may be wider than the screen.
async fn other_looks(browser: &mut Browser, page: &Page, world: &World) -> Result<(), Failure> {
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    browser.dark(page, true).await?;
    browser.screenshot(page, &picture("shop-5-paid-dark")).await?;
    browser.resize(page, 390, 844).await?;
    browser.wait(page, fits).await?;
    browser.screenshot(page, &picture("shop-6-paid-phone-dark")).await?;
    let phone = browser.open(world.shop_url(), 390, 844).await?;
    browser.wait(&phone, "document.querySelectorAll('.good').length === 8").await?;
    browser.click(&phone, "[data-good=cup] button:last-child").await?;
    browser.wait(&phone, fits).await?;
    browser.screenshot(&phone, &picture("shop-7-phone")).await?;
    browser.resize(&phone, 1280, 900).await?;
    browser.dark(&phone, true).await?;
    browser.screenshot(&phone, &picture("shop-8-dark")).await?;
    browser.close(&phone).await
}

/// What left the browser: to the shop only, and the number of the card in none of it, but sealed for the gateway.
async fn the_card_stays_in_the_browser(browser: &mut Browser, page: &Page, world: &World) -> Result<(), Failure> {
    let requests: Vec<Value> = browser
        .events
        .iter()
        .filter(|event| event["method"] == "Network.requestWillBeSent" && event["sessionId"] == page.session.as_str())
        .map(|event| event["params"].clone())
        .collect();
    let mut submitted = 0;
    for request in &requests {
        let url = request["request"]["url"].as_str().unwrap_or_default();
        assert!(url.starts_with(world.shop_url()) || url == "about:blank", "{url}");
        if request["request"]["hasPostData"] != true {
            continue;
        }
        let body = serde_json::json!({ "requestId": request["requestId"] });
        let body = browser.call(Some(page), "Network.getRequestPostData", body).await?;
        let body = body["postData"].as_str().ok_or("no body")?.replace([' ', '-'], "");
        assert!(!body.contains(CARD) && !body.contains("3184"), "{url} was sent {body}");
        submitted += u32::from(url.ends_with("/api/orders"));
    }
    assert_eq!(submitted, 1);
    let input = &world.submitted()[0].1["input"];
    assert_eq!(input["payment"].as_str().map(|sealed| sealed.split('.').count()), Some(5));
    assert_eq!(world.last_order()["state"], "notified", "the gateway has opened the seal");
    Ok(())
}

/// No error in the console: neither an exception nor something that the content security policy refused.
fn nothing_went_wrong(browser: &Browser) {
    let wrong: Vec<&Value> = browser
        .events
        .iter()
        .filter(|event| {
            let entry = &event["params"]["entry"];
            event["method"] == "Runtime.exceptionThrown" || entry["level"] == "error"
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each method's page makes what the gateway understands, and Paystate's input as the workflow wants it.
#[tokio::test(flavor = "multi_thread")]
async fn every_method_can_be_chosen_and_its_details_are_understood() -> Result<(), Failure> {
    let Some(program) = program() else {
        eprintln!("skipped: 1 (no chromium; set PAYSTATE_CHROMIUM)");
        return Ok(());
    };
    let world = World::start().await?;
    let mut browser = Browser::start(&program).await?;
    for method in paystate::sandbox::METHODS {
        let page = browser.open(world.shop_url(), 1280, 900).await?;
        browser.click(&page, "[data-good=cup] button:last-child").await?;
        browser.click(&page, &format!("input[value={method}]")).await?;
        browser.screenshot(&page, &picture(&format!("method-{method}"))).await?;
        browser.click(&page, "#pay").await?;
        browser.wait(&page, "document.querySelectorAll('.steps .done').length >= 3").await?;
        let input = world.submitted().pop().ok_or("nothing was submitted")?.1["input"].take();
        let sample = world.sandbox.sample(method, 8_000, "CNY").await?;
        let members = |input: &Value| -> Vec<String> {
            let mut names: Vec<_> = input.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
            names.sort();
            names
        };
        assert_eq!(members(&input), members(&sample), "{method}");
        let order = world.last_order();
        assert_ne!(order["status"], "failed", "{method}: {order}");
        browser.close(&page).await?;
    }
    nothing_went_wrong(&browser);
    Ok(())
}

/// The bank declines, after an answer of Paystate was lost: the same order is sent again, and the reason is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_never_makes_a_second_order_and_a_decline_is_explained() -> Result<(), Failure> {
    let Some(program) = program() else {
        eprintln!("skipped: 1 (no chromium; set PAYSTATE_CHROMIUM)");
        return Ok(());
    };
    let world = World::start().await?;
    let mut browser = Browser::start(&program).await?;
    let page = browser.open(world.shop_url(), 1280, 900).await?;
    browser.click(&page, "[data-good=scarf] button:last-child").await?;
    browser.click(&page, "input[value=credit_card]").await?;
    browser
        .evaluate(
            &page,
            "[...document.querySelectorAll('.chip')].find((chip) => chip.textContent === 'Declined').click()",
        )
        .await?;
    world.lose_an_answer();
    browser.click(&page, "#pay").await?;
    browser.wait(&page, "document.querySelector('#pay').textContent === 'Try again'").await?;
    browser.screenshot(&page, &picture("shop-9-lost-answer")).await?;
    browser.click(&page, "#pay").await?;
    browser.wait(&page, "document.querySelector('#headline')?.textContent === 'Not paid: declined'").await?;
    browser.wait(&page, "document.body.innerText.includes('do not honor')").await?;
    browser.screenshot(&page, &picture("shop-10-declined")).await?;
    let sent = world.submitted();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0], sent[1]);
    Ok(())
}
