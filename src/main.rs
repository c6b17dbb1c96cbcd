use std::process::ExitCode;

fn main() -> ExitCode {
    paystate::cli::run()
}
