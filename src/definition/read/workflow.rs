//! The workflow itself.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::call::Catalog;
use super::{Ctx, Fields};
use crate::definition::document::{Kind, Node};
use crate::definition::{Connector, MoneyTemplate, RetryPolicy, Sources, State, Volatile, Workflow, rules, suggest};
use crate::types::{ConnectorName, StateName, Value, Version, WorkflowName};

const KEYS: &[&str] = &[
    "workflow",
    "title",
    "description",
    "input",
    "volatile",
    "money",
    "deadline",
    "references",
    "initial",
    "on",
    "states",
    "retries",
    "tests",
];

/// More states than any person can follow; the checker's work grows with their square.
const STATES_MAX: usize = 500;

/// A workflow as it was read, and what only the checker needs.
pub(in crate::definition) struct Read {
    pub(in crate::definition) workflow: Workflow,
    /// The retry policies that calls have named.
    pub(in crate::definition) used_retries: BTreeSet<String>,
}

/// Reads a whole workflow. None when not even its states can be told.
pub(in crate::definition) fn workflow(
    ctx: &Ctx<'_>,
    root: &Node,
    connectors: &BTreeMap<ConnectorName, Arc<Connector>>,
    broken: &BTreeSet<ConnectorName>,
    sources: Sources,
) -> Option<Read> {
    let head = root.entry("workflow").map_or(0..1, |entry| entry.key_span.clone());
    let fields = ctx.fields(root, &head, "a workflow", KEYS)?;
    let what = "a workflow";
    let name = fields.required(ctx, what, "workflow").and_then(|node| {
        let text = ctx.text(node, "`workflow`")?;
        ctx.name(text, &node.span, "the name of a workflow", "-").then(|| WorkflowName::from(text))
    });
    let text = |key: &str| fields.get(key).and_then(|node| ctx.text(node, &format!("`{key}`"))).unwrap_or_default();
    text("tests");
    let catalog = Catalog { connectors, broken, retries: ctx.retries(&fields), used: RefCell::default() };
    let states = fields.required(ctx, what, "states").map(|node| ctx.map(node, "`states`")).unwrap_or_default();
    if let Some(entry) = states.get(STATES_MAX) {
        ctx.report(rules::TOO_LARGE, &entry.key_span, format!("a workflow has at most {STATES_MAX} states"));
        return None;
    }
    let states: Vec<State> = states.iter().filter_map(|entry| ctx.state(entry, &catalog)).collect();
    let index = states.iter().enumerate().map(|(at, state)| (state.name.clone(), at)).collect();
    let initial = ctx.initial(&fields, &index);
    let name = name.unwrap_or_else(|| WorkflowName::from("?"));
    let workflow = Workflow {
        title: fields.get("title").map_or_else(|| name.to_string(), |_| text("title").to_owned()),
        name,
        version: Version::from(""),
        description: text("description").trim_end().to_owned(),
        input: ctx.input(&fields, &sources),
        volatile: fields.get("volatile").map(|node| ctx.volatile(node)).unwrap_or_default(),
        money: ctx.money(&fields),
        deadline: fields.entry("deadline").and_then(|entry| ctx.deadline(entry)),
        references: fields.get("references").map(|node| ctx.references(node)).unwrap_or_default(),
        initial,
        states,
        index,
        on: fields.get("on").map(|node| ctx.on(node)).unwrap_or_default(),
        connectors: connectors.clone(),
        sources: Arc::new(sources),
    };
    Some(Read { workflow, used_retries: catalog.used.into_inner() })
}

impl Ctx<'_> {
    fn volatile(&self, node: &Node) -> Volatile {
        let Kind::List(items) = &node.kind else {
            self.wrong_type(node, "`volatile` is a list of fields of the input");
            return Volatile::default();
        };
        let path = |item: &Node| {
            let text = self.text(item, "a volatile field")?;
            let good = |name: &str| self.name(name, &item.span, "the name of a field", "-");
            text.split('.').all(good).then(|| text.split('.').map(str::to_owned).collect())
        };
        Volatile(items.iter().filter_map(path).collect())
    }

    fn references(&self, node: &Node) -> BTreeSet<String> {
        let Kind::List(items) = &node.kind else {
            self.wrong_type(node, "`references` is a list of names that transitions assign");
            return BTreeSet::new();
        };
        let name = |item: &Node| {
            let text = self.text(item, "a reference")?;
            self.name(text, &item.span, "the name of a reference", "").then(|| text.to_owned())
        };
        items.iter().filter_map(name).collect()
    }

    fn initial(&self, fields: &Fields<'_>, index: &BTreeMap<StateName, usize>) -> StateName {
        let node = fields.required(self, "a workflow", "initial");
        let Some((node, text)) = node.and_then(|node| Some((node, self.text(node, "`initial`")?))) else {
            return StateName::from("?");
        };
        if !index.contains_key(text) {
            let near = suggest::nearest(text, index.keys().map(StateName::as_str));
            let problem = self.problem(rules::UNKNOWN_STATE, &node.span, format!("there is no state `{text}`"));
            let help = near.map(|near| format!("did you mean `{near}`?"));
            self.add(problem.with_help(help).with_fix(near.map(str::to_owned)));
        }
        StateName::from(text)
    }

    fn money(&self, fields: &Fields<'_>) -> Option<MoneyTemplate> {
        let entry = fields.entry("money")?;
        let fields = self.fields(&entry.node, &entry.key_span, "`money`", &["amount", "currency"])?;
        let amount = fields.required(self, "`money`", "amount");
        let currency = fields.required(self, "`money`", "currency");
        if let Some(Kind::Scalar(Value::Number(number))) = amount.map(|node| &node.kind)
            && number.is_f64()
        {
            let message = "an amount is a whole number of minor units, never a fraction";
            self.report(rules::FLOAT_AMOUNT, &amount.map_or(0..0, |node| node.span.clone()), message);
        }
        let read = |node: &Node| self.template(node, &["input"]);
        Some(MoneyTemplate { amount: read(amount?), currency: read(currency?) })
    }

    fn retries(&self, fields: &Fields<'_>) -> BTreeMap<String, RetryPolicy> {
        let entries = fields.get("retries").map(|node| self.map(node, "`retries`")).unwrap_or_default();
        let named = entries.iter().filter(|entry| self.name(&entry.key, &entry.key_span, "the name of a policy", "-"));
        named.filter_map(|e| Some((e.key.clone(), self.retry_policy(&e.node, &e.key_span)?))).collect()
    }
}
