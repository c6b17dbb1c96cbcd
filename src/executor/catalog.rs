//! The workflows that orders can be opened on, and every version that open orders are still on.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use crate::definition::Workflow;
use crate::types::{Version, WorkflowName};

#[derive(Debug, Default)]
pub struct Catalog {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    current: BTreeMap<WorkflowName, Arc<Workflow>>,
    versions: HashMap<Version, Arc<Workflow>>,
}

impl Catalog {
    /// New orders of this name are opened on this version from now on.
    pub fn activate(&self, workflow: Arc<Workflow>) {
        let mut inner = self.inner.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.versions.insert(workflow.version.clone(), Arc::clone(&workflow));
        inner.current.insert(workflow.name.clone(), workflow);
    }

    /// Keeps a version for the orders that are on it.
    pub fn remember(&self, workflow: Arc<Workflow>) {
        let mut inner = self.inner.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.versions.entry(workflow.version.clone()).or_insert(workflow);
    }

    pub fn current(&self, name: &WorkflowName) -> Option<Arc<Workflow>> {
        self.read(|inner| inner.current.get(name).cloned())
    }

    pub fn version(&self, version: &Version) -> Option<Arc<Workflow>> {
        self.read(|inner| inner.versions.get(version).cloned())
    }

    pub fn all(&self) -> Vec<Arc<Workflow>> {
        self.read(|inner| inner.current.values().cloned().collect())
    }

    /// Every version of every workflow, in no order.
    pub fn versions(&self) -> Vec<Arc<Workflow>> {
        self.read(|inner| inner.versions.values().cloned().collect())
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.inner.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
