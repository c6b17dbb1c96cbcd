//! All connectors, by name and version.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Connector;
use super::config::{ConnectorConfig, ConnectorSetupError};
use super::http::{HttpConnector, Link};
use super::limits::GateStatus;
use crate::definition;
use crate::types::{ConnectorName, Version};

/// Finds connectors. Built on first use; every version of one name shares its connections and limits for as long as
/// address, certificates and limits are the same.
pub struct Connectors {
    config: ConnectorConfig,
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Part of Paystate, or put in place of a provider by a scenario. They win over definitions of the same name.
    registered: BTreeMap<ConnectorName, Arc<dyn Connector>>,
    definitions: BTreeMap<(ConnectorName, Version), Arc<definition::Connector>>,
    built: BTreeMap<(ConnectorName, Version), Arc<HttpConnector>>,
    links: BTreeMap<ConnectorName, Arc<Link>>,
}

impl Connectors {
    pub fn new(config: ConnectorConfig) -> Self {
        Self { config, inner: RwLock::default() }
    }

    /// Makes a definition known. Orders of older versions go on finding theirs.
    pub fn define(&self, definition: Arc<definition::Connector>) {
        let key = (definition.name.clone(), definition.version.clone());
        self.write().definitions.insert(key, definition);
    }

    /// Makes every connector known that a workflow is bound to. The built-in ones are registered by the executor.
    pub fn define_all(&self, workflow: &definition::Workflow) {
        for connector in workflow.connectors.values() {
            if matches!(connector.kind, definition::ConnectorKind::Http(_)) {
                self.define(Arc::clone(connector));
            }
        }
    }

    /// Puts `connector` in place for every version of `name`.
    pub fn register(&self, name: ConnectorName, connector: Arc<dyn Connector>) {
        self.write().registered.insert(name, connector);
    }

    /// The secrets that notifications are verified with.
    pub fn secrets(&self) -> &BTreeMap<String, crate::types::Secret> {
        &self.config.secrets
    }

    /// Whether numbers of cards in clear are kept as they come.
    pub const fn keeps_card_numbers(&self) -> bool {
        self.config.card_numbers
    }

    /// The values of `${env.NAME}`.
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.config.env
    }

    /// The connector of an order's version.
    pub fn get(&self, name: &ConnectorName, version: &Version) -> Result<Arc<dyn Connector>, ConnectorSetupError> {
        let key = (name.clone(), version.clone());
        {
            let inner = self.read();
            if let Some(connector) = inner.registered.get(name) {
                return Ok(Arc::clone(connector));
            }
            if let Some(connector) = inner.built.get(&key) {
                return Ok(Arc::<HttpConnector>::clone(connector));
            }
        }
        // Built under the lock, so that two callers do not build two clients with limits of their own.
        let mut inner = self.write();
        if let Some(connector) = inner.built.get(&key) {
            return Ok(Arc::<HttpConnector>::clone(connector));
        }
        let definition = inner
            .definitions
            .get(&key)
            .ok_or_else(|| ConnectorSetupError::Unknown { name: name.clone(), version: version.clone() })?;
        let connector = HttpConnector::sharing(Arc::clone(definition), &self.config, inner.links.get(name))?;
        let connector = Arc::new(connector);
        inner.links.insert(name.clone(), Arc::clone(connector.link()));
        inner.built.insert(key, Arc::clone(&connector));
        Ok(connector)
    }

    /// The definition of a version, for its promises about keys, inquiries and notifications.
    pub fn definition(&self, name: &ConnectorName, version: &Version) -> Option<Arc<definition::Connector>> {
        self.read().definitions.get(&(name.clone(), version.clone())).cloned()
    }

    /// How the providers in use are doing, for metrics and the dashboard.
    pub fn status(&self) -> Vec<(ConnectorName, GateStatus)> {
        self.read().links.iter().map(|(name, link)| (name.clone(), link.status())).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Connectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.read();
        f.debug_struct("Connectors")
            .field("registered", &inner.registered.keys().collect::<Vec<_>>())
            .field("defined", &inner.definitions.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
