//! Tools that some tests need: where one is missing a test says so and passes, unless `CI=true`.

use std::process::Command;

/// `found`; where it is false, with a word on it, and in CI that is a failure.
pub(super) fn has(name: &str, found: bool) -> bool {
    if !found {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} is missing");
        eprintln!("{name} is missing: skipped");
    }
    found
}

/// Whether the program `name` can be started with `argument`, whatever it thinks of that.
pub(super) fn has_program(name: &str, argument: &str) -> bool {
    has(name, Command::new(name).arg(argument).output().is_ok())
}

/// Whether `command`, which stands for the tool `name`, succeeds.
pub(super) fn has_tool(name: &str, command: &mut Command) -> bool {
    has(name, command.output().is_ok_and(|output| output.status.success()))
}
