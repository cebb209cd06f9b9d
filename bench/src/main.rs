//! The benchmark's command line: builds what is compared, runs the campaign, prints the table.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bench::agreement::Agreement;
use bench::campaign::Campaign;
use bench::cores::Cores;
use bench::goals;
use bench::measure::machine::Machine;
use bench::report::Report;
use bench::servers::{Peer, Programs};
use bench::workload::Workload;
use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Compares oxherd with what one would use instead.
#[derive(Debug, Parser)]
struct Arguments {
    /// Everything, five times: hours rather than minutes.
    #[arg(long)]
    full: bool,
    /// Only these workloads, by name, or by kind: fan-out, saturation, rooms, hop, storm, polling, idle. Comma-separated.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these servers. Comma-separated.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<Peer>,
    /// How often each server has its turn.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds for which one run is measured.
    #[arg(long)]
    seconds: Option<u64>,
    /// Another build of oxherd: the servers baseline-1 and baseline-2.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// Runs nothing: prints, as one, what earlier runs on this machine and commit wrote.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    report: Vec<PathBuf>,
    /// Runs nothing: tells how far the medians of two earlier runs are apart.
    #[arg(long, value_name = "FILE", num_args = 2)]
    compare: Vec<PathBuf>,
    /// Where all numbers go as JSON.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match (arguments.report.as_slice(), arguments.compare.as_slice()) {
        ([], [first, second]) => compare(first, second),
        ([], _) => run(arguments),
        ([first, parts @ ..], _) => report(first, parts),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let mut campaign = if arguments.full { Campaign::full() } else { Campaign::short() };
    if !arguments.only.is_empty() {
        // Whoever names a kind gets all of it, from the full campaign.
        let of_kind = |workload: &Workload| {
            [workload.kind(), workload.to_string()].iter().any(|name| arguments.only.contains(name))
        };
        campaign.workloads = Campaign::full().workloads.into_iter().filter(of_kind).collect();
    }
    if !arguments.servers.is_empty() {
        campaign.servers = arguments.servers;
    }
    campaign.rounds = arguments.rounds.unwrap_or(campaign.rounds);
    campaign.pace.measure = arguments.seconds.map_or(campaign.pace.measure, Duration::from_secs);
    campaign.limit_to(descriptors()?);

    eprintln!("building and installing what is compared ...");
    let programs = Programs::prepare(arguments.baseline.unwrap_or_default())?;
    let machine = Machine::look(&programs.repository);
    if let Some(directory) = arguments.json.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut report = Report { machine, samples: Vec::new() };
    let mut saved = Ok(());
    campaign.run(&programs, &Cores::deal()?, |sample| match sample {
        Ok(sample) => {
            let values = sample.values.iter().map(|(name, value)| format!("{name} {value:.2}"));
            let values = values.collect::<Vec<_>>().join(", ");
            let void = sample.void.as_ref().map_or(String::new(), |why| format!("VOID ({why}) "));
            eprintln!("{} | {} | {} | {void}{values}", sample.round, sample.workload, sample.server);
            report.samples.push(sample);
            saved = save(&report, &arguments.json);
        }
        Err(error) => eprintln!("failed: {error}"),
    });
    print(&report)?;
    saved?;
    eprintln!("all numbers are in {}", arguments.json.display());
    Ok(())
}

fn save(report: &Report, path: &Path) -> Result<(), Box<dyn Error>> {
    Ok(fs::write(path, serde_json::to_vec_pretty(report)?)?)
}

fn report(first: &Path, parts: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    let mut report = read(first)?;
    for part in parts {
        report.append(read(part)?)?;
    }
    print(&report)
}

fn compare(first: &Path, second: &Path) -> Result<(), Box<dyn Error>> {
    let Agreement { table, apart_max } = Agreement::of(&read(first)?, &read(second)?);
    println!("{table}\nat most {:.1} % apart", apart_max * 100.0);
    Ok(())
}

fn read(path: &Path) -> Result<Report, Box<dyn Error>> {
    let report = fs::read(path).map_err(Into::into).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    report.map_err(|error: Box<dyn Error>| format!("cannot read {}: {error}", path.display()).into())
}

fn print(report: &Report) -> Result<(), Box<dyn Error>> {
    println!("{}", serde_json::to_string_pretty(&report.machine)?);
    println!("{}{}", report.table(), goals::table(report));
    Ok(())
}

/// As many as we may have, for us and the servers.
fn descriptors() -> Result<u64, nix::Error> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(most)
}
