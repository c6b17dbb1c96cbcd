//! `paystate serve`: the daemon.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::boot::{Boot, Node};
use super::config::Config;
use super::{Verdict, output};
use crate::api::{self, HostName, Server, ServerOptions};

const LISTEN: &str = "127.0.0.1:7878";

/// Runs the daemon: executor, HTTP API and dashboard.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate serve --data data --workflows workflows --config paystate.yaml")]
pub(super) struct Args {
    /// Where orders are kept. One daemon at a time uses a folder.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The folder of workflows, with `connectors/` below it.
    #[arg(long)]
    workflows: Option<PathBuf>,
    /// A YAML file with the addresses and secrets of providers.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Address and port of the HTTP API; port 0 takes a free one. Loopback only: the API has no authentication yet.
    #[arg(long)]
    listen: Option<String>,
    /// A host name that the API also answers to, such as that of a reverse proxy in front of it; give it again for more.
    /// Without it only localhost, 127.0.0.1 and [::1].
    #[arg(long, value_name = "NAME")]
    listen_as: Vec<HostName>,
    /// Start a gateway, a bank and a shop beside it, to try things on.
    #[arg(long)]
    sandbox: bool,
    /// Where orders are stored: `sled` is the only store so far.
    #[arg(long, default_value = "sled", value_parser = ["sled"])]
    store: String,
    /// Start although the clock is months ahead of the last entry of the journal, so that timers of open orders fire.
    #[arg(long)]
    believe_clock: bool,
    /// Say in one line of JSON where it listens.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    keep_memory_private();
    let config = args.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    let listen = args.listen.clone().or_else(|| config.listen.clone()).unwrap_or_else(|| LISTEN.to_owned());
    let listener = listen_on(&listen)?;
    let mut options = options();
    options.hosts = if args.listen_as.is_empty() { config.listen_as.clone() } else { args.listen_as };
    options.proxies.clone_from(&config.trusted_proxies);
    options.limits.card_numbers = config.card_numbers;
    let boot = Boot {
        data: args.data.or_else(|| config.data.clone()).unwrap_or_else(|| PathBuf::from("data")),
        workflows: args.workflows.or_else(|| config.workflows.clone()).unwrap_or_else(|| PathBuf::from("workflows")),
        sandbox: args.sandbox,
        believe_clock: args.believe_clock,
        config,
    };
    let node = boot.start().await?;
    let mut server = serve(&node, listener, options)?;
    announce(&node, &server, args.json)?;
    let ended = tokio::select! {
        ended = server.ended() => ended.context("the HTTP server ended"),
        // Nothing can be recorded any more, so that nothing is waited for.
        failed = failed(&node) => return Err(failed),
        () = stop_signal() => Ok(()),
    };
    if ended.is_ok() {
        tracing::info!("stopping: what is in flight is finished or parked");
        server.drain().await;
    }
    let stopped = node.stop().await;
    if ended.is_ok() {
        // Until here it has told everybody that comes that it stops.
        server.stop().await.context("the HTTP server did not stop in order")?;
    }
    ended.and(stopped).map(|()| Verdict::Yes)
}

/// Serves the API of a node, and tells its sandbox where notifications and orders go.
pub(super) fn serve(node: &Node, listener: TcpListener, options: ServerOptions) -> anyhow::Result<Server> {
    let server = Server::start(Arc::new(node.executor.clone()), listener, options)
        .context("the HTTP server could not be started")?;
    if let Some(sandbox) = &node.sandbox {
        sandbox.notify(Some(format!("http://{}", server.address())));
    }
    Ok(server)
}

/// Bounds for this process.
pub(super) fn options() -> ServerOptions {
    ServerOptions::within(files_max())
}

/// No picture of the memory on the disk, and none for other processes of the same user: it has the secrets.
fn keep_memory_private() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "a crash may leave a core dump with secrets");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "other processes of this user may read the memory of this one");
    }
}

/// How many files this process may have open, where the system tells it; else what most systems allow.
fn files_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_ascii_whitespace().next());
    match soft {
        Some("unlimited") => usize::MAX,
        soft => soft.and_then(|soft| soft.parse().ok()).unwrap_or(1_024),
    }
}

/// Binds the API's socket, on loopback only.
pub(super) fn listen_on(address: &str) -> anyhow::Result<TcpListener> {
    let parsed: SocketAddr =
        address.parse().with_context(|| format!("--listen {address}: not an address such as {LISTEN}"))?;
    if !parsed.ip().is_loopback() {
        bail!("--listen {address}: the API has no authentication yet, so it listens on loopback only (127.0.0.1)");
    }
    api::bind(parsed).with_context(|| {
        format!("cannot listen on {address}; --listen takes another, such as 127.0.0.1:0 for a free port")
    })
}

fn announce(node: &Node, server: &Server, json: bool) -> anyhow::Result<()> {
    let api = format!("http://{}", server.address());
    let shop = node.sandbox.as_ref().map(|sandbox| sandbox.shop_url().to_owned());
    if json {
        let sandbox = node.sandbox.as_ref();
        let ready = serde_json::json!({
            "api": api,
            "shop": shop,
            "gateway": sandbox.map(|sandbox| sandbox.gateway_url()),
            "bank": sandbox.map(|sandbox| sandbox.bank_url()),
        });
        output::json(&ready);
    } else {
        output::out(&format!("Paystate listens on {api} (the dashboard is there too)\n"));
        if let Some(shop) = shop {
            output::out(&format!("The sandbox's shop is at {shop}\n"));
        }
    }
    output::finish()
}

/// Returns when the store has failed: nothing may be acknowledged after that, and a restart recovers.
async fn failed(node: &Node) -> anyhow::Error {
    loop {
        let failure = node.executor.failure().map(str::to_owned).or_else(|| node.executor.store().failure());
        if let Some(why) = failure {
            return anyhow::anyhow!("{why}; the daemon stops, and recovers when it is started again");
        }
        crate::executor::pause(std::time::Duration::from_millis(200)).await;
    }
}

/// SIGINT or SIGTERM.
pub(super) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                // Without a handler for it, the signal ends the process by itself.
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be handled; use SIGINT");
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
