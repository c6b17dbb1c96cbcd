use super::Verdict;
use super::client::{Client, Connection};
use super::output;
use crate::api::wire::{Call, Incident, Money, Order, Related};
use crate::types::Value;

/// Show an order as it stands.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate show 019ab1c2-7d4e-7000-8000-0242ac120002")]
pub(super) struct Args {
    /// The order's id.
    order: String,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.connection)?;
    let value = client.get(&format!("v1/orders/{}", args.order), &[]).await?;
    if args.connection.json {
        output::json(&value);
    } else {
        print(&client.read(value)?);
    }
    Ok(Verdict::Yes)
}

/// The order, for people.
pub(super) fn print(order: &Order) {
    output::out(&format!("{}  {}\n", output::bold(&output::line(&order.title)), output::status(order.status)));
    output::out(&output::pairs(&facts(order)));
    let related = [("children", related(&order.children)), ("refunds", related(&order.refunds))];
    for (title, rows) in [("calls", calls(order)), ("waits for", waits(order))].into_iter().chain(related) {
        if !rows.is_empty() {
            output::out(&format!("\n{}\n", output::bold(title)));
            rows.iter().for_each(|row| output::out(row));
        }
    }
    if let Some(incident) = &order.incident {
        output::out(&format!("\n{}", ways(order, incident)));
    }
}

/// The commands that end the incident.
fn ways(order: &Order, incident: &Incident) -> String {
    let id = order.id;
    let (mut text, mut flags) = (String::new(), Vec::new());
    let needs: Vec<String> = incident.needs.iter().map(|field| format!("\"{}\": ...", output::line(field))).collect();
    for way in &incident.ways {
        match way.as_str() {
            "retry" => text = format!("to go on:  paystate retry {id} --by YOU\n"),
            "state" => flags.push("--state STATE".to_owned()),
            flag => flags.push(format!("--{flag}")),
        }
    }
    if !flags.is_empty() {
        let flags = output::line(&flags.join(" | "));
        text += &format!("to end it: paystate resolve {id} --by YOU \\\n             --note HOW-YOU-KNOW {flags}\n");
        if !needs.is_empty() {
            text += &format!("             --ok with --result '{{{}}}': what the call answered\n", needs.join(", "));
        }
    }
    text
}

fn facts(order: &Order) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("order", order.id.to_string()),
        ("workflow", format!("{} (version {})", output::line(&order.workflow), output::line(&order.version))),
    ];
    let title = order.state_title.as_ref().map(|title| format!(": {}", output::line(title)));
    facts.push(("state", format!("{}{}", output::line(&order.state), title.unwrap_or_default())));
    if let Some(amount) = &order.amount {
        facts.push(("amount", output::line(&amount.text)));
    }
    if !order.stages.is_empty() {
        facts.push(("stages", order.stages.iter().map(|stage| output::line(stage)).collect::<Vec<_>>().join(" > ")));
    }
    if let Some(money) = money(order) {
        facts.push(("money", money));
    }
    facts.push(("submitted", output::time(order.created_at)));
    facts.push(("changed", output::time(order.updated_at)));
    facts.push(("attempts", order.attempts.to_string()));
    if let Some(outcome) = &order.outcome {
        facts.push(("outcome", output::line(outcome)));
    }
    if let Some(parent) = &order.parent {
        facts.push(("part of", parent.order.to_string()));
    }
    if let Some(payment) = &order.refund_of {
        facts.push(("refund of", payment.to_string()));
    }
    if let Some(incident) = &order.incident {
        let stake = incident.at_stake.as_ref().map_or_else(String::new, |money| format!(", {} at stake", money.text));
        facts.push((
            "incident",
            output::line(&format!("{}{stake}, since {}", incident.reason, output::time(incident.opened_at))),
        ));
    }
    if let Some(data) = order.data.as_object().filter(|data| !data.is_empty()) {
        let field = |(name, value): (&String, &Value)| match value {
            Value::String(text) => output::line(&format!("{name}: {text}")),
            other => output::line(&format!("{name}: {other}")),
        };
        facts.push(("data", data.iter().map(field).collect::<Vec<_>>().join("\n")));
    }
    if !order.next_events.is_empty() {
        facts.push(("can happen", output::line(&order.next_events.join(", "))));
    }
    facts
}

fn money(order: &Order) -> Option<String> {
    let money = &order.money;
    let parts = [
        ("held", money.held),
        ("captured", money.captured),
        ("released", money.released),
        ("refunded", money.refunded),
        ("charged back", money.charged_back),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(_, amount)| *amount != 0)
        .map(|(name, amount)| format!("{} {name}", Money::text_of(*amount, money.currency.as_deref())))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn calls(order: &Order) -> Vec<String> {
    order.calls.iter().map(call).collect()
}

fn call(call: &Call) -> String {
    let role = if call.role == "invoke" { String::new() } else { format!(" ({})", call.role) };
    let next = call.next_at.map_or_else(String::new, |at| format!(", next at {}", output::time(at)));
    let trouble = call.trouble.as_ref().map_or_else(String::new, |trouble| output::indented("      ", trouble));
    let head = format!("{}{role}: {}, attempt {}{next}", call.call, call.phase, call.attempt);
    format!("{}{trouble}", output::indented("  ", &head))
}

fn waits(order: &Order) -> Vec<String> {
    let timers = order.timers.iter().map(|timer| format!("{} at {}", timer.timer, output::time(timer.at)));
    let early = order
        .inbox
        .iter()
        .map(|early| format!("the state that handles {} (came early, from {})", early.event, early.source));
    timers.chain(early).map(|text| output::indented("  ", &text)).collect()
}

fn related(orders: &[Related]) -> Vec<String> {
    let one = |one: &Related| {
        let amount = one.amount.as_ref().map_or_else(String::new, |amount| format!("  {}", amount.text));
        let text = format!("{}  {}{amount}  {}: {}", one.order, one.workflow, one.status.name(), one.state);
        output::indented("  ", &text)
    };
    orders.iter().map(one).collect()
}
