//! The configuration as a whole: layers, complaints, the shipped file.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use oxherd_contract::listen::Affinity;
use oxherd_supervisor::plan::ControlPath;

use super::checked::Config;
use super::*;

const SHIPPED: &str = include_str!("../../config.toml");

fn machine() -> Machine {
    Machine {
        cores: 3,
        host: "ox".to_owned(),
        uid: 7,
        directory: "/work".into(),
        runtime_directory: None,
        user_runtime_directory: None,
    }
}

fn checked(text: &str) -> (Config, Low, Complaints) {
    let (mut low, mut complaints) = (Low::default(), Complaints::default());
    file::read(&Arc::new(PathBuf::from("c.toml")), text, &mut low, &mut complaints);
    let config = check(&low, &mut complaints);
    (config, low, complaints)
}

fn planned(text: &str) -> Result<Plan, String> {
    let (config, low, mut complaints) = checked(text);
    let (plan, _warnings) = plan::plan(config, &machine(), &low, &mut complaints);
    if complaints.is_empty() { Ok(plan) } else { Err(complaints.to_string()) }
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

#[test]
fn the_shipped_file_is_exactly_the_defaults() {
    let (config, _, complaints) = checked(SHIPPED);
    assert_eq!(complaints.to_string(), "");
    assert_eq!(config, Config::default());
}

#[test]
fn the_shipped_file_names_every_key_and_a_commented_one_is_an_example_that_works() {
    let uncommented: String = SHIPPED
        .lines()
        .map(|line| {
            line.strip_prefix('#').filter(|rest| rest.starts_with(char::is_alphabetic)).unwrap_or(line)
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let (_, low, complaints) = checked(&uncommented);
    for key in Key::ALL {
        assert!(low.get(key).is_some(), "config.toml lacks {}", key.name());
    }
    assert_eq!(complaints.to_string(), "");
}

#[test]
fn all_complaints_come_at_once_each_with_key_value_and_range() {
    let text = "workers = 0\nlisten = [\"localhost:1\", \"127.0.0.1:1\"]\nboot_timeout = 10\nnope = 1\n[http]\nheader_timeout = \"1d\"\n[log]\nfilter = \"=x=\"\n";
    let complaints = planned(text).unwrap_err();
    for expected in [
        "c.toml:1: workers = 0: expected a number from 1 to 256, or \"auto\"",
        "c.toml:2: listen[0] = \"localhost:1\": expected IP:PORT",
        "c.toml:3: boot_timeout = 10: expected a duration with its unit (ms, s, m, h), from \"100ms\" to \"1h\"",
        "c.toml:4: nope: unknown key",
        "c.toml:6: http.header_timeout = \"1d\": expected a duration",
        "c.toml:8: log.filter = \"=x=\": expected levels",
    ] {
        assert!(complaints.contains(expected), "{expected}\nis not in{complaints}");
    }
    assert_eq!(complaints.trim().lines().count(), 6);
}

#[test]
fn a_redis_takes_the_place_of_the_bus() {
    let plan = planned("[redis]\nurl = \"redis://u:hunter2@10.0.0.1/2\"\nboot_wait = \"1s\"\n").unwrap();
    let redis = plan.shared.redis.clone().unwrap();
    assert_eq!((redis.url.reveal(), redis.place.as_str()), ("redis://u:hunter2@10.0.0.1/2", "10.0.0.1:6379"));
    assert_eq!(redis.boot_wait, std::time::Duration::from_secs(1));
    assert!(!format!("{plan:?}").contains("hunter2"));
    let complaints =
        planned("[redis]\nurl = \"redis://10.0.0.1\"\n[bus]\nlisten = \"127.0.0.1:6379\"\n").unwrap_err();
    assert!(complaints.contains("with redis.url there is no bus"), "{complaints}");
    assert_eq!(complaints.trim().lines().count(), 1);
}

#[test]
fn boxes_need_a_redis_and_a_secret_and_an_address_that_can_be_reached() {
    let redis = "[redis]\nurl = \"redis://10.0.0.9\"\n";
    let cluster = |advertise: &str, more: &str| {
        format!("[cluster]\nsecrets = \"a secret of many bytes\"\nadvertise = \"{advertise}\"\n{more}")
    };
    let plan = planned(&(redis.to_owned() + &cluster("10.0.0.1:7000", ""))).unwrap();
    let advertised = Some(([10, 0, 0, 1], 7000).into());
    assert_eq!((plan.box_listener, plan.shared.boxes.unwrap().advertise), (advertised, advertised));
    let plan = planned(&(redis.to_owned() + &cluster("10.0.0.1:7000", "listen = \"0.0.0.0:70\"\n"))).unwrap();
    assert_eq!(plan.box_listener, Some(([0, 0, 0, 0], 70).into()));
    for (bad, why) in [
        (cluster("10.0.0.1:7000", ""), "cluster.advertise = \"10.0.0.1:7000\": needs redis.url"),
        (format!("{redis}[cluster]\nadvertise = \"10.0.0.1:7000\"\n"), "needs cluster.secrets"),
        (format!("{redis}[cluster]\nlisten = \"10.0.0.1:7000\"\n"), "needs cluster.advertise"),
        (redis.to_owned() + &cluster("0.0.0.0:7000", ""), "that other boxes can connect to"),
        (redis.to_owned() + &cluster("10.0.0.1:0", ""), "that other boxes can connect to"),
    ] {
        let complaints = planned(&bad).unwrap_err();
        assert!(complaints.contains(why), "{bad}{complaints}");
        assert_eq!(complaints.trim().lines().count(), 1, "{complaints}");
    }
    let warned = |text: &str| super::boxes::warning(&planned(text).unwrap());
    assert!(warned(redis).unwrap().contains("set cluster.secrets"));
    assert!(
        warned(&format!("{redis}[cluster]\nsecrets = \"a secret of many bytes\"\n"))
            .unwrap()
            .contains("set cluster.advertise")
    );
    assert!(warned("").is_none() && warned(&(redis.to_owned() + &cluster("10.0.0.1:7000", ""))).is_none());
}

#[test]
fn flags_go_over_the_environment_over_the_file_over_the_defaults() {
    let directory = std::env::temp_dir().join(format!("oxherd-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("layers.toml");
    std::fs::write(&path, "workers = 2\nslots = 20\nhost = \"file\"\n").unwrap();
    let environment = environment(&[
        ("OXHERD_WORKERS", "3"),
        ("OXHERD_SLOTS", "30"),
        ("OXHERD_LISTEN", "127.0.0.1:1, [::1]:2"),
        ("OXHERD_HOST", ""),
        ("OXHERD_CONFIG", "/nowhere"),
    ]);
    let keys = vec![(Key::Workers, Value::Text("4".to_owned()), "--workers")];
    let loaded = load(&Flags { file: Some(path.clone()), keys }, &environment).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(loaded.file, Some(path));
    let Plan { workers, slots, host, listeners, .. } = loaded.plan;
    assert_eq!((workers, slots, host.as_str(), listeners.len()), (4, 30, "file", 2));
}

#[test]
fn an_unknown_variable_is_a_mistake_and_not_repeated() {
    let environment = environment(&[("OXHERD_REDIS", "redis://:secret@h"), ("OXHERD_REDIS_URL", "x:secret")]);
    let complaints = load(&Flags::default(), &environment).err().unwrap().to_string();
    assert!(complaints.contains("OXHERD_REDIS: no such key"), "{complaints}");
    assert!(complaints.contains("OXHERD_REDIS_URL: redis.url: expected redis://"), "{complaints}");
    assert!(!complaints.contains("secret"), "{complaints}");
}

#[test]
fn a_named_file_that_is_missing_is_a_complaint() {
    let flags = Flags { file: Some("/nowhere/c.toml".into()), keys: Vec::new() };
    let complaints = load(&flags, &Environment::default()).err().unwrap().to_string();
    assert!(complaints.contains("/nowhere/c.toml: cannot read it: No such file"), "{complaints}");
}

#[test]
fn what_is_automatic_follows_the_cores() {
    for (text, workers, slots) in [
        ("", 3, 12),
        ("workers = 1", 1, 12),
        ("workers = 10", 10, 40),
        ("workers = \"auto\"\nslots = 3", 3, 3),
        ("workers = 256", 256, 1024),
    ] {
        let plan = planned(text).unwrap();
        assert_eq!((plan.workers, plan.slots), (workers, slots), "{text}");
    }
    let complaints = planned("slots = 2\nworkers = \"auto\"").unwrap_err();
    assert!(complaints.contains("c.toml:1: slots = 2: expected at least one slot for each of the 3 workers"));
}

#[test]
fn a_listener_is_an_address_or_a_table() {
    let text = "affinity = \"source-ip\"\n[[listen]]\naddress = \"[::]:80\"\n[[listen]]\naddress = \"unix:/run/o.sock\"\nmode = 0o660\naffinity = \"connection\"\n";
    let listeners = planned(text).unwrap().listeners;
    assert_eq!((listeners[0].affinity, listeners[0].mode), (Affinity::SourceIp, 0o600));
    assert_eq!((listeners[1].affinity, listeners[1].mode), (Affinity::Connection, 0o660));
    let defaults = planned("affinity = \"connection\"").unwrap().listeners;
    assert_eq!(defaults[0].affinity, Affinity::Connection);
}

#[test]
fn a_bad_listener_is_named_by_its_place() {
    let text = "[[listen]]\nadress = \"[::]:80\"\n[[listen]]\naddress = \"127.0.0.1:1\"\nmode = 0o600\n[[listen]]\naddress = \"127.0.0.1:1\"\naffinity = \"sticky\"\n";
    let complaints = planned(text).unwrap_err();
    for expected in [
        "c.toml:2: listen[0].adress: unknown key; known here: address, affinity, mode, proxy_protocol, tls",
        "c.toml:1: listen[0]: expected an `address` in it",
        "listen[1].mode: only a Unix socket has a mode",
        "c.toml:8: listen[2].affinity = \"sticky\": expected \"auto\", \"source-ip\" or \"connection\"",
        "listen = […]: 127.0.0.1:1 is there twice",
    ] {
        assert!(complaints.contains(expected), "{expected}\nis not in{complaints}");
    }
    assert!(planned("listen = []").unwrap_err().contains("expected 1 to 32 addresses"));
    assert!(planned("listen = 3000").unwrap_err().contains("listen = 3000: expected an address"));
}

#[test]
fn the_control_socket_is_where_the_process_was_given_a_directory() {
    let config = Config::default();
    let by_port = ControlPath::ByPort("/tmp/oxherd-7".into());
    assert_eq!(plan::control(&config, &machine()), by_port);
    let user = Machine { user_runtime_directory: Some("/run/user/7".into()), ..machine() };
    assert_eq!(plan::control(&config, &user), ControlPath::ByPort("/run/user/7/oxherd".into()));
    let service = Machine { runtime_directory: Some("/run/oxherd".into()), ..user };
    assert_eq!(plan::control(&config, &service), ControlPath::At("/run/oxherd/control.sock".into()));
    let config = Config { control: Some("c.sock".into()), ..config };
    assert_eq!(plan::control(&config, &service), ControlPath::At("/work/c.sock".into()));
}

#[test]
fn a_box_can_be_asked_while_its_file_is_being_edited() {
    let environment = environment(&[("OXHERD_WORKERS", "many"), ("XDG_RUNTIME_DIR", "/run/user/7")]);
    let listen = |text: &str| vec![(Key::Listen, Value::Text(text.to_owned()), "--listen")];
    let path = control_path(&Flags { file: None, keys: listen("127.0.0.1:80") }, &environment).unwrap();
    assert_eq!(path, PathBuf::from("/run/user/7/oxherd/80.sock"));
    assert!(control_path(&Flags { file: None, keys: listen("80") }, &environment).is_err());
}
