//! `check`: whether a configuration is good, and what it means on this machine.

use oxherd_supervisor::plan::{ControlPath, Plan};

use crate::config::{Complaints, Environment, Flags, load};

/// Prints a summary, or returns all complaints.
pub(crate) fn check(flags: &Flags, environment: &Environment) -> Result<(), Complaints> {
    let loaded = load(flags, environment)?;
    let file = loaded.file.map_or_else(|| "no file".to_owned(), |path| path.display().to_string());
    let warnings: String = loaded.warnings.iter().map(|warning| format!("\n  warning: {warning}")).collect();
    super::print(&format!("the configuration is good ({file})\n{}{warnings}", summary(&loaded.plan)));
    Ok(())
}

fn summary(plan: &Plan) -> String {
    let addresses: Vec<_> = plan.listeners.iter().map(|listen| listen.address.to_string()).collect();
    let control = match &plan.control {
        ControlPath::At(path) => path.display().to_string(),
        ControlPath::ByPort(directory) => directory.join("PORT.sock").display().to_string(),
    };
    format!(
        "  host     {}\n  listen   {}\n  slots    {} on each TCP address\n  workers  {}\n  control  {control}",
        plan.host,
        addresses.join(", "),
        plan.slots,
        plan.workers,
    )
}
