//! Puts a daemon together: store, workflows, connectors, executor, and the sandbox when it is wanted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};

use super::config::Config;
use super::doctor;
use super::needs::{must_be_built, must_be_given};
use crate::connector::{ConnectorConfig, Connectors};
use crate::definition::{self, Library, Problem, Workflow, read_data};
use crate::executor::{Clock, Executor, Options, Refold, StartError, SteadyClock, SystemClock};
use crate::ledger::LimitTable;
use crate::sandbox::{self, Sandbox};
use crate::store::{SledOptions, SledStore, Store};
use crate::types::{Secret, WorkflowName};

/// Below the folder of workflows: the dated limits of payment accounts.
const LIMITS: &str = "data/payment_account_limits.yaml";

#[derive(Clone, Debug)]
pub(super) struct Boot {
    pub(super) data: PathBuf,
    pub(super) workflows: PathBuf,
    pub(super) config: Config,
    pub(super) sandbox: bool,
    pub(super) believe_clock: bool,
}

/// A daemon without its HTTP server.
pub(super) struct Node {
    pub(super) executor: Executor,
    pub(super) sandbox: Option<Sandbox>,
}

impl Boot {
    pub(super) async fn start(self) -> anyhow::Result<Node> {
        let workflows = read_workflows(&self.workflows)?;
        let mut env = self.config.env.clone();
        let mut secrets = self.config.secrets()?;
        // What is wrong with the configuration is said before anything is made. The sandbox brings a part of its own.
        let given =
            if self.sandbox { None } else { Some(self.connectors(&workflows, env.clone(), secrets.clone())?) };
        // The lock on the data comes first: a second daemon must find out at once.
        let fold = Arc::new(Refold::knowing(workflows.values().cloned()));
        let opened = SledStore::open(
            &self.data,
            SledOptions { archive_after: self.config.archive.after, ..SledOptions::default() },
            fold,
        );
        let store = doctor::opened(&self.data, opened)?;
        let (sandbox, connectors) = match given {
            Some(connectors) => (None, connectors),
            None => {
                let sandbox = start_sandbox(&self.data, &mut env).await?;
                secrets.extend(sandbox.secrets().clone());
                (Some(sandbox), self.connectors(&workflows, env, secrets)?)
            }
        };
        let limits = read_limits(&self.workflows)?;
        let options = Options { limits, believe_clock: self.believe_clock, ..Options::default() };
        let store: Arc<dyn Store> = Arc::new(store);
        let workflows = workflows.into_values().collect();
        let started =
            Executor::start(store, Arc::new(SteadyClock::new()), Arc::new(connectors), workflows, options).await;
        let executor = match started {
            Err(StartError::Store(error)) => doctor::opened(&self.data, Err(error))?,
            Err(error @ StartError::Clock { .. }) => {
                bail!("{error}\nset the machine's clock and start again, or add --believe-clock if it is right")
            }
            started => started?,
        };
        Ok(Node { executor, sandbox })
    }

    /// The connectors of these workflows; an error names everything that they lack.
    fn connectors(
        &self,
        workflows: &BTreeMap<WorkflowName, Arc<Workflow>>,
        env: BTreeMap<String, String>,
        secrets: BTreeMap<String, Secret>,
    ) -> anyhow::Result<Connectors> {
        must_be_given(workflows, &env, &secrets, self.sandbox)?;
        let mut config = ConnectorConfig::new(Arc::new(|| SystemClock.now()));
        config.env = env;
        config.secrets = secrets;
        config.allowed_hosts.clone_from(&self.config.allowed_hosts);
        config.card_numbers = self.config.card_numbers;
        let connectors = Connectors::new(config);
        must_be_built(&connectors, workflows)?;
        Ok(connectors)
    }
}

impl Node {
    /// Finishes or parks what is in flight, and closes the store.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.executor.shutdown(Duration::from_secs(20)).await?;
        if let Some(sandbox) = self.sandbox {
            sandbox.shutdown().await;
        }
        Ok(())
    }
}

async fn start_sandbox(data: &Path, env: &mut BTreeMap<String, String>) -> anyhow::Result<Sandbox> {
    let dir = data.join("sandbox");
    let options = sandbox::Options { dir: Some(dir.clone()), ..sandbox::Options::default() };
    let sandbox = Sandbox::start(options).await.context("the sandbox could not be started")?;
    // The same files as those of a sandbox by itself, so that samples can be made for this one too.
    super::sandbox::write_config(&sandbox, &dir)?;
    env.extend(sandbox.env());
    env.insert("SANDBOX_CA".to_owned(), dir.join("ca.pem").display().to_string());
    Ok(sandbox)
}

/// Every workflow of a folder; a problem in any of them is told, with how to see them all.
pub(super) fn read_workflows(folder: &Path) -> anyhow::Result<BTreeMap<WorkflowName, Arc<Workflow>>> {
    let library =
        Library::read_dir(folder).with_context(|| format!("cannot read the workflows in {}", folder.display()))?;
    let (workflows, problems) = library.load();
    must_be_clean(&problems, folder)?;
    Ok(workflows.into_iter().map(|workflow| (workflow.name.clone(), Arc::new(workflow))).collect())
}

/// One workflow.
pub(super) fn read_one(file: &Path) -> anyhow::Result<Arc<Workflow>> {
    let sources = Library::read_file(file).with_context(|| format!("cannot read {}", file.display()))?;
    match definition::load(sources) {
        Ok(workflow) => Ok(Arc::new(workflow)),
        Err(problems) => {
            must_be_clean(&problems, file)?;
            bail!("{} could not be read", file.display())
        }
    }
}

fn must_be_clean(problems: &[Problem], path: &Path) -> anyhow::Result<()> {
    let Some(first) = problems.first() else { return Ok(()) };
    bail!(
        "{} problems in {}, the first at {}:{}:{}: {}\nrun `paystate check {}` to see them all",
        problems.len(),
        path.display(),
        first.file,
        first.line,
        first.column,
        first.message,
        path.display()
    )
}

fn read_limits(workflows: &Path) -> anyhow::Result<Option<Arc<LimitTable>>> {
    let path = workflows.join(LIMITS);
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let table = read_data(&path.display().to_string(), &text).map_err(anyhow::Error::msg)?;
    Ok(Some(Arc::new(table)))
}
