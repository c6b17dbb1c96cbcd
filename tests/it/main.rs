mod connector_faults;
mod connector_http;
mod connector_limits;
mod connector_scripted;
mod connector_support;
mod connector_tls;
mod connector_webhook;
mod tidy;
