#![allow(unreachable_pub, reason = "one binary: nothing in it is reachable from outside")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod api;
mod api_contract;
mod api_fake;
mod api_stop;
mod api_trust;
#[path = "../browser/mod.rs"]
mod browser;
mod cli;
mod cli_output;
mod configuration;
mod connector_faults;
mod connector_http;
mod connector_limits;
mod connector_scripted;
mod connector_support;
mod connector_tls;
mod connector_webhook;
mod demo;
mod disk_trouble;
mod docs;
mod fuzz;
mod histories;
mod invalid;
mod journal;
mod journal_codec;
mod journal_disk;
mod kill;
mod library;
mod methods;
mod methods_afterwards;
mod mistakes;
#[cfg(target_os = "linux")]
mod power;
mod readme;
mod recorded;
mod refunds;
mod rot;
mod sandbox;
mod sandbox_afterwards;
mod sandbox_instruments;
mod scenario_docs;
mod scenarios;
mod shop;
mod store;
mod store_cut;
mod store_kill;
mod store_sled;
mod support;
mod tidy;
mod waiting;
mod workflows;
