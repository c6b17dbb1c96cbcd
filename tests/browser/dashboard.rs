//! An operator at the dashboard: orders move live, an order shows its way, an incident is resolved, hostile text stays text.

use std::path::PathBuf;
use std::sync::Arc;

use paystate::machine::Outcome;
use serde_json::{Value, json};

use super::cdp::{Browser, Failure, Page, program};
use crate::api_fake::{Fake, SEALED};

const HOSTILE: &str = "<img src=x onerror=window.broken=1><script>window.broken=1</script>\"'&lt;";

fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots").join(format!("dashboard-{name}.png"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_watches_and_resolves() -> Result<(), Failure> {
    let Some(program) = program() else {
        eprintln!("skipped: 1 (no chromium; set PAYSTATE_CHROMIUM)");
        return Ok(());
    };
    let fake = Fake::new();
    let server = fake.serve();
    let url = format!("http://{}", server.address());
    let parked = fill(&fake);
    let mut browser = Browser::start(&program).await?;
    let page = browser.open(&url, 1280, 900).await?;
    browser.wait(&page, "document.querySelectorAll('tbody tr').length === 12").await?;
    browser.wait(&page, "document.querySelector('.live.on')").await?;
    browser.wait(&page, "document.querySelector('#incident-count').textContent === '2'").await?;
    browser.screenshot(&page, &picture("1-orders")).await?;

    let new = fake.open(json!({"amount": 4_711, "currency": "CNY"}));
    let row = format!("document.querySelector('tbody tr a[href=\"#/orders/{new}\"]')");
    browser.wait(&page, &row).await?;
    fake.receive(new, "customer.confirmed");
    browser.wait(&page, &format!("{row}.closest('tr').innerText.includes('The gateway takes the money')")).await?;

    one_order(&mut browser, &page, &url, &parked).await?;
    resolve(&mut browser, &page, &parked).await?;
    refunded(&mut browser, &page, &fake, &parked).await?;
    browser.evaluate(&page, "location.hash = '#/incidents'").await?;
    browser.wait(&page, "document.querySelectorAll('.alarm').length === 1").await?;
    browser.wait(&page, "document.querySelector('#incident-count').textContent === '1'").await?;
    browser.screenshot(&page, &picture("4-incidents")).await?;
    browser.evaluate(&page, "location.hash = '#/workflows/card'").await?;
    browser.wait(&page, "document.querySelector('.states tbody tr') && document.querySelector('svg.workflow')").await?;
    browser.screenshot(&page, &picture("5-workflow")).await?;
    paused(&mut browser, &page, &fake).await?;
    phone(&mut browser, &page, &parked).await?;
    nothing_went_wrong(&browser);
    Ok(())
}

async fn one_order(browser: &mut Browser, page: &Page, url: &str, parked: &str) -> Result<(), Failure> {
    browser.call(Some(page), "Page.navigate", json!({"url": format!("{url}/#/orders/{parked}")})).await?;
    browser.wait(page, "document.querySelectorAll('.timeline li').length > 5").await?;
    browser.wait(page, "document.querySelector('#state-authorized.now.incident')").await?;
    browser.wait(page, "document.querySelector('.edge.passed[data-from=verified][data-to=authorized]')").await?;
    browser.screenshot(page, &picture("2-order")).await?;
    let text = browser.evaluate(page, "document.body.innerText").await?;
    let text = text.as_str().ok_or("no text")?;
    assert!(text.contains(HOSTILE), "a provider's text is shown as it is");
    assert!(text.contains("sealed)") && !text.contains(SEALED), "payments stay sealed");
    assert_eq!(browser.evaluate(page, "window.broken ?? null").await?, Value::Null, "and does nothing");
    Ok(())
}

async fn resolve(browser: &mut Browser, page: &Page, parked: &str) -> Result<(), Failure> {
    let button = "[...document.querySelectorAll('.alarm button')].find((one) => one.textContent === 'Resolve')";
    browser.evaluate(page, &format!("{button}.click()")).await?;
    let which = format!("document.querySelector('dialog .which').innerText.includes('{}')", &parked[..8]);
    browser.wait(page, &which).await?;
    // A dialog does not outlive the page of its order.
    browser.evaluate(page, "location.hash = '#/orders'").await?;
    browser.wait(page, "document.querySelector('tbody tr') && !document.querySelector('dialog')").await?;
    let find = format!("document.querySelector('.filters input').value = '{}'", &parked[..6]);
    browser.evaluate(page, &find).await?;
    browser.evaluate(page, "document.querySelector('.filters input').dispatchEvent(new Event('change'))").await?;
    browser.wait(page, "document.querySelector('.warn')?.innerText.includes('More than one order')").await?;
    browser.evaluate(page, &find.replace(&parked[..6], parked)).await?;
    browser.evaluate(page, "document.querySelector('.filters input').dispatchEvent(new Event('change'))").await?;
    browser.wait(page, button).await?;
    browser.evaluate(page, &format!("{button}.click()")).await?;
    browser.wait(page, "document.querySelector('dialog')").await?;
    browser.click(page, "dialog input[value=ok]").await?;
    browser.wait(page, "document.querySelector('dialog [name=result]')").await?;
    browser.evaluate(page, "document.querySelector('dialog [name=result]').value = '{\"id\": \"ch_9\"}'").await?;
    browser.evaluate(page, "document.querySelector('dialog [name=by]').value = 'Kim'").await?;
    browser.evaluate(page, "document.querySelector('dialog [name=note]').value = 'Seen in the portal'").await?;
    browser.screenshot(page, &picture("3-resolve")).await?;
    browser.click(page, "dialog button.primary").await?;
    browser.wait(page, "!document.querySelector('dialog') && !document.querySelector('.alarm')").await?;
    browser.wait(page, "document.querySelector('#state-settled.now')").await?;
    browser.wait(page, "document.querySelector('.timeline').innerText.includes('resolved as ok by Kim')").await?;
    assert_eq!(browser.evaluate(page, "location.hash").await?, format!("#/orders/{parked}"));
    Ok(())
}

/// From a payment to its refund, and back.
async fn refunded(browser: &mut Browser, page: &Page, fake: &Fake, payment: &str) -> Result<(), Failure> {
    let refund = fake.open(json!({"amount": 600, "currency": "CNY"}));
    fake.refunds.lock().map_err(|_| "poisoned")?.push((payment.parse()?, refund));
    let child = fake.open(json!({"amount": 700, "currency": "CNY"}));
    fake.children.lock().map_err(|_| "poisoned")?.push((payment.parse()?, child));
    let link = |id: &str| format!("document.querySelector('main a[href=\"#/orders/{id}\"]')");
    browser.evaluate(page, &format!("location.hash = '#/orders/{refund}'")).await?;
    browser.wait(page, &format!("{}?.innerText.startsWith('refund of')", link(payment))).await?;
    browser.evaluate(page, &format!("{}.click()", link(payment))).await?;
    let card = format!("{}?.closest('section')", link(&refund.to_string()));
    browser.wait(page, &format!("{card}?.innerText.includes('6.00 CNY, The customer confirms')")).await?;
    let card = format!("{}?.closest('section')", link(&child.to_string()));
    browser.wait(page, &format!("{card}?.innerText.includes('7.00 CNY, The customer confirms')")).await?;
    Ok(())
}

/// A provider is paused and resumed, with a name.
async fn paused(browser: &mut Browser, page: &Page, fake: &Fake) -> Result<(), Failure> {
    browser.evaluate(page, "location.hash = '#/connectors'").await?;
    let press = |text: &str| {
        format!("[...document.querySelectorAll('main button')].find((one) => one.textContent === '{text}')")
    };
    browser.wait(page, &press("Drain")).await?;
    browser.evaluate(page, &format!("{}.click()", press("Drain"))).await?;
    browser.wait(page, "document.querySelector('dialog [name=by]').value === 'Kim'").await?;
    browser.evaluate(page, "document.querySelector('dialog [name=note]').value = 'Maintenance until four'").await?;
    browser.click(page, "dialog button.primary").await?;
    browser.wait(page, "document.querySelector('main').innerText.includes('being drained by Kim')").await?;
    browser.wait(page, "document.querySelector('#paused-count').textContent === '1 paused'").await?;
    browser.screenshot(page, &picture("11-connectors")).await?;
    assert!(fake.pause.lock().map_err(|_| "poisoned")?.as_ref().is_some_and(|pause| pause.drain));
    browser.evaluate(page, &format!("{}.click()", press("Resume"))).await?;
    browser.click(page, "dialog button.primary").await?;
    browser.wait(page, "document.querySelector('#paused-count').hidden").await?;
    Ok(())
}

/// Phone width, light and dark: nothing is wider than the screen.
async fn phone(browser: &mut Browser, page: &Page, parked: &str) -> Result<(), Failure> {
    browser.dark(page, true).await?;
    browser.evaluate(page, &format!("location.hash = '#/orders/{parked}'")).await?;
    browser.wait(page, "document.querySelector('.timeline li')").await?;
    browser.screenshot(page, &picture("6-order-dark")).await?;
    browser.resize(page, 390, 844).await?;
    // The width of the window grows with what is too wide for it on a telephone, so that it is named here.
    let fits = "document.documentElement.scrollWidth <= 390 && innerWidth <= 390";
    browser.wait(page, fits).await?;
    browser.screenshot(page, &picture("7-order-phone-dark")).await?;
    browser.dark(page, false).await?;
    for (name, hash) in [
        ("8-orders-phone", "#/orders"),
        ("9-incidents-phone", "#/incidents"),
        ("10-workflow-phone", "#/workflows/card"),
        ("12-connectors-phone", "#/connectors"),
    ] {
        browser.evaluate(page, &format!("location.hash = '{hash}'")).await?;
        browser.wait(page, "document.querySelector('main .head, main .title')").await?;
        browser.wait(page, fits).await?;
        browser.screenshot(page, &picture(name)).await?;
    }
    Ok(())
}

/// No script failed, nothing was refused by the policy, nothing was asked of another host.
fn nothing_went_wrong(browser: &Browser) {
    for event in &browser.events {
        let method = event["method"].as_str().unwrap_or_default();
        assert_ne!(method, "Runtime.exceptionThrown", "{event}");
        let level = event["params"]["entry"]["level"].as_str().unwrap_or_default();
        assert!(method != "Log.entryAdded" || level != "error", "{event}");
    }
}

/// Orders of every kind; the answer is one that is parked.
fn fill(fake: &Arc<Fake>) -> String {
    let ok = || Outcome::Ok { result: json!({"id": "ch_1", "amount": 1200}) };
    let declined = || Outcome::Declined { code: "insufficient_funds".to_owned(), soft: false, result: Value::Null };
    let mut parked = String::new();
    for (number, amount) in (1_i64..=12).map(|number| (number, 12_345 * number)) {
        let id = fake.open(json!({"amount": amount, "currency": "CNY", "payment": SEALED, "note": HOSTILE}));
        match number % 6 {
            0 => {}
            1 | 5 => {
                fake.receive(id, "customer.confirmed");
                fake.settle(id, ok());
                if number % 6 == 1 {
                    fake.receive(id, "shop.shipped");
                }
            }
            2 => drop(fake.receive(id, "customer.refused")),
            3 => {
                fake.park(id, &format!("timed out; the gateway said {HOSTILE}"));
                parked = id.to_string();
            }
            _ => {
                fake.receive(id, "customer.confirmed");
                fake.settle(id, declined());
            }
        }
    }
    parked
}
