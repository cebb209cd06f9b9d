//! A worker process as its supervisor sees it. This one executable plays both parts: started by the test runner
//! it is the supervisor, started by itself with the contract's argument it is a worker.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

mod accept;
mod app;
mod boot;
mod client;
mod count;
mod drain;
mod flood;
mod orphan;
mod support;

use libtest_mimic::Arguments;

fn main() -> std::process::ExitCode {
    if std::env::args().nth(1).as_deref() == Some(oxherd_contract::CHILD_ARGUMENT) {
        return app::main();
    }
    let groups =
        [accept::tests(), boot::tests(), count::tests(), drain::tests(), flood::tests(), orphan::tests()];
    libtest_mimic::run(&Arguments::from_args(), groups.into_iter().flatten().collect()).exit_code()
}

/// Names tests after their functions.
macro_rules! trials {
    ($($name:ident),* $(,)?) => {
        pub fn tests() -> Vec<libtest_mimic::Trial> {
            vec![$(libtest_mimic::Trial::test(
                concat!(module_path!(), "::", stringify!($name)),
                || { $name(); Ok(()) },
            )),*]
        }
    };
}
pub(crate) use trials;
