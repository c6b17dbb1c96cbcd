//! The six-step order as a Restate service: six `ctx.run` blocks, each of which answers at once.
//!
//! `peer-restate ADDRESS` serves it until it is stopped.

use std::net::SocketAddr;

use restate_sdk::prelude::*;
use serde_json::{Value, json};

struct Orders;

#[service]
impl Orders {
    #[handler]
    async fn place(&self, ctx: Context<'_>, _input: Json<Value>) -> Result<Json<Value>, HandlerError> {
        for name in ["one", "two", "three", "four", "five", "six"] {
            let step = ctx.run(move || async move { Ok(Json::from(answer(name))) }).name(name).await?.into_inner();
            if step["status"] != "approved" {
                return Err(TerminalError::new("a step was not approved").into());
            }
        }
        Ok(Json::from(json!({ "status": "succeeded" })))
    }
}

/// About a hundred bytes, as much as a step of `paystate bench` brings.
fn answer(step: &str) -> Value {
    json!({ "id": format!("01890a5d-ac96-774b-bcce-b302099a8057-{step}-1"), "status": "approved", "at": "2026-01-01T00:00:00Z" })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: SocketAddr = std::env::args().nth(1).ok_or("usage: peer-restate ADDRESS")?.parse()?;
    HttpServer::new(Endpoint::builder().bind(Orders).build()).listen_and_serve(address).await;
    Ok(())
}
