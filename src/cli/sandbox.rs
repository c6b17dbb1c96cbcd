//! `paystate sandbox`: the gateway, the bank and the shop by themselves.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use super::config::Config;
use super::serve::stop_signal;
use super::{Verdict, output};
use crate::sandbox::{Customer, Options, Sandbox};

/// Runs a payment gateway, a bank and a shop on loopback, over TLS, until it is stopped.
///
/// Writes `paystate.yaml` into its folder: the configuration with which a daemon uses it (`paystate serve --config`).
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate sandbox --dir sandbox &\n  paystate serve --config sandbox/paystate.yaml")]
pub(super) struct Args {
    /// Where it keeps its books, its certificate and the configuration for a daemon. One sandbox at a time uses a folder.
    #[arg(long, default_value = "sandbox")]
    dir: PathBuf,
    /// Where notifications and the shop's orders go.
    #[arg(long, default_value = "http://127.0.0.1:7878")]
    paystate: String,
    /// Print the input of a good order of this method, sealed for the sandbox that runs in the folder, and end.
    #[arg(long, value_name = "METHOD")]
    sample: Option<String>,
    /// With --sample: how much, in minor units of the currency. Its last three digits choose a fault (docs/sandbox.md).
    #[arg(long, value_name = "MINOR", requires = "sample", default_value_t = SAMPLE_AMOUNT,
        value_parser = clap::value_parser!(i64).range(1..))]
    amount: i64,
    /// With --sample: of which currency.
    #[arg(long, value_name = "CODE", requires = "sample", default_value = "CNY")]
    currency: String,
    /// Say in one line of JSON where everything is.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    if let Some(method) = &args.sample {
        return sample(&args.dir, method, args.amount, &args.currency).await;
    }
    let options = Options { dir: Some(args.dir.clone()), notify: Some(args.paystate.clone()), ..Options::default() };
    let sandbox = Sandbox::start(options).await.context("the sandbox could not be started")?;
    let config = write_config(&sandbox, &args.dir)?;
    if args.json {
        let ready = json!({
            "shop": sandbox.shop_url(), "gateway": sandbox.gateway_url(), "bank": sandbox.bank_url(),
            "ca": args.dir.join("ca.pem").display().to_string(), "config": config.display().to_string(),
        });
        output::json(&ready);
    } else {
        let (shop, gateway, bank) = (sandbox.shop_url(), sandbox.gateway_url(), sandbox.bank_url());
        output::out(&format!("shop     {shop}\ngateway  {gateway}\nbank     {bank}\n"));
        output::out(&format!("run `paystate serve --config {}`\n", config.display()));
    }
    output::finish()?;
    stop_signal().await;
    sandbox.shutdown().await;
    Ok(Verdict::Yes)
}

/// CNY 128.00: the last three digits of an amount are what the sandbox's faults listen to, and 800 is none of them.
const SAMPLE_AMOUNT: i64 = 12_800;

/// Seals a payment for the sandbox that runs in a folder.
async fn sample(dir: &Path, method: &str, amount: i64, currency: &str) -> anyhow::Result<Verdict> {
    let config = Config::read(&dir.join("paystate.yaml")).context("no sandbox has run in this folder")?;
    let env = |name: &str| config.env.get(name).with_context(|| format!("the sandbox's configuration has no {name}"));
    let ca = env("SANDBOX_CA")?;
    let ca = std::fs::read_to_string(ca).with_context(|| format!("cannot read {ca}"))?;
    let customer = Customer::connect(env("GATEWAY_URL")?, &ca).await.context("the sandbox does not run")?;
    output::out(&format!("{}\n", customer.sample(method, amount, currency).await?));
    Ok(Verdict::Yes)
}

/// The configuration of a daemon that uses this sandbox, with each secret in a file of its own.
pub(super) fn write_config(sandbox: &Sandbox, dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = std::path::absolute(dir)?;
    let ca = dir.join("ca.pem");
    sandbox.write_ca(&ca)?;
    let secrets = dir.join("secrets");
    std::fs::create_dir_all(&secrets)?;
    let mut env = serde_json::Map::new();
    env.extend(sandbox.env().into_iter().map(|(name, url)| (name, Value::from(url))));
    env.insert("SANDBOX_CA".to_owned(), json!(ca));
    let mut sources = serde_json::Map::new();
    for (name, secret) in sandbox.secrets() {
        let path = secrets.join(name);
        write_private(&path, secret.reveal())?;
        sources.insert(name.clone(), json!({ "file": path }));
    }
    let path = dir.join("paystate.yaml");
    // JSON is YAML.
    let text = serde_json::to_string_pretty(&json!({ "env": env, "secrets": sources }))?;
    std::fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
