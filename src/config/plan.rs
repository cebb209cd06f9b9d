//! From the checked configuration to the supervisor's plan: what depends on this machine is filled in. Pure, given
//! the [`Machine`].

use std::path::{Path, PathBuf};

use oxherd_contract::edge::EdgeSettings;
use oxherd_contract::listen::Address;
use oxherd_contract::settings::{BoxesSettings, RedisSettings, SharedSettings, StockSettings};
use oxherd_supervisor::plan::{Choice, ControlPath, Plan};

use super::certificates;
use super::check::{SLOTS_MAX, WORKERS_MAX};
use super::checked::Config;
use super::complaint::Complaints;
use super::key::Key;
use super::machine::Machine;
use super::typed::{Low, Origin, Typed, Value};

/// Slots per worker, unless configured: a worker's share then moves in quarters.
const SLOTS_PER_WORKER: u16 = 4;

/// Slots of a listener at least, unless configured.
const SLOTS_MIN: u16 = 8;

/// The plan for this machine, and what is allowed but should not stay so. It is complete only if no complaint was added.
pub(crate) fn plan(
    config: Config,
    machine: &Machine,
    low: &Low,
    complaints: &mut Complaints,
) -> (Plan, Vec<String>) {
    let control = control(&config, machine);
    let workers = config.workers.unwrap_or(machine.cores.clamp(1, WORKERS_MAX));
    let automatic = workers.max(machine.cores).saturating_mul(SLOTS_PER_WORKER).clamp(SLOTS_MIN, SLOTS_MAX);
    let slots = config.slots.unwrap_or(automatic);
    if slots < workers && !complaints.names(Key::Slots) && !complaints.names(Key::Workers) {
        let why = format!("expected at least one slot for each of the {workers} workers");
        complaints.value(Key::Slots, &typed_or(low, Key::Slots, slots), why);
    }
    let client_bundle = config.client_bundle.map(|path| machine.directory.join(path));
    if let Some(path) = client_bundle.as_deref().filter(|path| !path.is_file()) {
        let typed = typed_or(low, Key::ClientBundle, path.display());
        complaints.value(Key::ClientBundle, &typed, "there is no such file");
    }
    let in_place = |key| typed_or(low, key, "");
    let read = certificates::read(&config.tls, &machine.directory, in_place, complaints);
    let edge = EdgeSettings {
        listeners: config.listen.iter().map(|listen| listen.layers).collect(),
        trusted_proxies: config.trusted_proxies,
        cors: config.cors,
    };
    let boot_wait = config.redis.boot_wait;
    let redis = config.redis.url.map(|(url, place)| RedisSettings { url, place, boot_wait });
    let is_one_of_many = redis.is_some() && !config.cluster.secrets.is_empty();
    let boxes = is_one_of_many.then_some(BoxesSettings { advertise: config.boxes.advertise });
    let plan = Plan {
        host: config.host.unwrap_or_else(|| machine.host.clone()),
        listeners: config.listen,
        box_listener: config.boxes.listen,
        slots,
        workers,
        control,
        timing: config.timing,
        bus: config.bus,
        certificates: read.certificates,
        shared: SharedSettings {
            log: config.log,
            http: config.http,
            edge,
            engine: config.engine,
            cluster: config.cluster,
            orphan_grace: config.orphan_grace,
            redis,
            boxes,
            stock: StockSettings { client_bundle, api_key: config.api_key },
        },
        connections_max: low.get(Key::HttpConnectionsMax).map_or(Choice::Default, |_| Choice::Operator),
    };
    (plan, read.warnings)
}

/// Where the control socket is: `--control`, else in the first of these directories that this process was given.
pub(crate) fn control(config: &Config, machine: &Machine) -> ControlPath {
    let in_directory = |directory: &Path| ControlPath::At(directory.join("control.sock"));
    match (&config.control, &machine.runtime_directory, &machine.user_runtime_directory) {
        (Some(path), _, _) => ControlPath::At(machine.directory.join(path)),
        (None, Some(service), _) => in_directory(service),
        (None, None, Some(user)) => ControlPath::ByPort(user.join("oxherd")),
        (None, None, None) => ControlPath::ByPort(PathBuf::from(format!("/tmp/oxherd-{}", machine.uid))),
    }
}

/// The port that a control socket of its own name is named after.
pub(crate) fn first_port(config: &Config) -> u16 {
    let port = |address: &Address| match address {
        Address::Tcp(address) => Some(address.port()),
        Address::Unix(_) => None,
    };
    config.listen.iter().find_map(|listen| port(&listen.address)).unwrap_or(0)
}

fn typed_or(low: &Low, key: Key, default: impl ToString) -> Typed {
    low.get(key)
        .cloned()
        .unwrap_or_else(|| Typed { value: Value::Text(default.to_string()), origin: Origin::Default })
}
