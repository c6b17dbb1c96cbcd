//! One state.

use std::collections::BTreeMap;

use super::call::Catalog;
use super::{Ctx, Fields};
use crate::definition::document::Entry;
use crate::definition::{Activity, Stage, State, StateKind, Verdict};
use crate::types::StateName;

const KEYS: &[&str] = &["title", "stage", "invoke", "entry", "on", "after", "always", "final", "late", "compensate"];

impl Ctx<'_> {
    pub(super) fn state(&self, entry: &Entry, catalog: &Catalog<'_>) -> Option<State> {
        let name = entry.key.as_str();
        self.name(name, &entry.key_span, "the name of a state", "-");
        let fields = self.fields(&entry.node, &entry.key_span, "a state", KEYS)?;
        let stages = Stage::ALL.map(|stage| (stage.name(), stage));
        let named = stages.iter().find(|(stage, _)| *stage == name).map(|(_, stage)| *stage);
        let stage = fields.get("stage").and_then(|node| self.word(node, "`stage`", &stages)).or(named);
        let title = fields.get("title").and_then(|node| self.text(node, "`title`")).map(str::to_owned);
        Some(State {
            name: StateName::from(name),
            title,
            stage,
            activity: self.activity(&fields, catalog),
            entry: fields.get("entry").map(|node| self.effects(node, catalog)).unwrap_or_default(),
            on: fields.get("on").map(|node| self.on(node)).unwrap_or_default(),
            after: fields.get("after").map(|node| self.after(node)).unwrap_or_default(),
            always: fields.entry("always").map(|entry| self.always(entry)).unwrap_or_default(),
            kind: self.state_kind(&fields),
        })
    }

    fn activity(&self, fields: &Fields<'_>, catalog: &Catalog<'_>) -> Activity {
        fields.exclusive(self, &["invoke", "compensate"]);
        if let Some(node) = fields.get("compensate") {
            self.word(node, "`compensate` of a state", &[("all", ())]);
            return Activity::Compensate;
        }
        match fields.entry("invoke") {
            Some(entry) => Activity::Invoke(self.invokes(&entry.node, &entry.key_span, catalog)),
            None => Activity::None,
        }
    }

    fn state_kind(&self, fields: &Fields<'_>) -> StateKind {
        let Some(node) = fields.get("final") else {
            return StateKind::Open;
        };
        let words = [("success", Verdict::Success), ("failure", Verdict::Failure)];
        let verdict = self.word(node, "`final`", &words).unwrap_or(Verdict::Failure);
        let late = fields.get("late").map_or_else(BTreeMap::new, |node| self.late(node));
        StateKind::Final { verdict, late }
    }
}
