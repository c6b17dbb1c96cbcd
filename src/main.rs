//! The `paystate` command.

fn main() -> std::process::ExitCode {
    paystate::cli::main()
}
