mod store;
mod tidy;
