//! Which connector answers for a name and a version.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::Connector;
use crate::definition::{self, ConnectorKind, Workflow};
use crate::types::{ConnectorName, Version};

/// Makes a connector from its definition; the error says what the configuration lacks.
pub type Factory = Box<dyn Fn(&Arc<definition::Connector>) -> Result<Arc<dyn Connector>, String> + Send + Sync>;

pub struct Connectors {
    factory: Factory,
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Given by the program, for any version.
    registered: HashMap<ConnectorName, Arc<dyn Connector>>,
    defined: HashMap<(ConnectorName, Version), Arc<definition::Connector>>,
    made: HashMap<(ConnectorName, Version), Arc<dyn Connector>>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectorError {
    #[error("no connector {0} is configured")]
    Unknown(ConnectorName),
    #[error("connector {name} cannot be used: {why}")]
    Setup { name: ConnectorName, why: String },
}

impl Connectors {
    pub fn new(factory: Factory) -> Self {
        Self { factory, inner: RwLock::default() }
    }

    /// Only connectors that the program registers.
    pub fn registered_only() -> Self {
        Self::new(Box::new(|_| Err("only registered connectors are used here".to_owned())))
    }

    /// Answers for a name whatever its version, in place of what its file says.
    pub fn register(&self, name: ConnectorName, connector: Arc<dyn Connector>) {
        self.inner.write().unwrap_or_else(PoisonError::into_inner).registered.insert(name, connector);
    }

    /// Learns the connectors that a workflow is bound to. They are made when they are first used.
    pub fn define_all(&self, workflow: &Workflow) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        for connector in workflow.connectors.values() {
            if matches!(connector.kind, ConnectorKind::Http(_)) {
                let at = (connector.name.clone(), connector.version.clone());
                inner.defined.entry(at).or_insert_with(|| Arc::clone(connector));
            }
        }
    }

    pub fn get(&self, name: &ConnectorName, version: &Version) -> Result<Arc<dyn Connector>, ConnectorError> {
        let at = (name.clone(), version.clone());
        let definition = {
            let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(connector) = inner.registered.get(name).or_else(|| inner.made.get(&at)) {
                return Ok(Arc::clone(connector));
            }
            inner.defined.get(&at).cloned().ok_or_else(|| ConnectorError::Unknown(name.clone()))?
        };
        let made = (self.factory)(&definition).map_err(|why| ConnectorError::Setup { name: name.clone(), why })?;
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(inner.made.entry(at).or_insert(made)))
    }
}
