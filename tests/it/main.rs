mod sandbox;
mod tidy;
