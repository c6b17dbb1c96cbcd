//! The `paystate` command.

/// A third of an order's time went into the system's allocator: decisions are made of many small values.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    paystate::cli::main()
}
