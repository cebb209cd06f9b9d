//! The Redis, and this box among those that share it: keys that need each other. Pure.

use std::net::SocketAddr;
use std::time::Duration;

use oxherd_contract::secret::Secret;
use oxherd_supervisor::plan::Plan;

use super::check::Reader;
use super::checked::{BoxesConfig, RedisConfig};
use super::key::Key;
use super::typed::Value;
use super::value::{address, duration, redis_url};

impl Reader<'_> {
    /// One may be set without the other: the environment has the URL and the file the rest.
    pub(super) fn redis(&mut self, default: RedisConfig) -> RedisConfig {
        let wait = duration(Duration::from_millis(100)..=Duration::from_secs(300));
        let boot_wait = self.key(Key::RedisBootWait, default.boot_wait, wait);
        let url = self.key(Key::RedisUrl, default.url, |value| redis_url(value).map(Some));
        if let Some(typed) = self.low.get(Key::BusListen)
            && url.is_some()
            && typed.value != Value::List(Vec::new())
        {
            let why = "with redis.url there is no bus: let emitters and Node servers use that Redis";
            self.complaints.value(Key::BusListen, typed, why);
        }
        RedisConfig { url, boot_wait }
    }

    /// A box that is told to be reachable and cannot be found would be a mistake that nobody notices.
    pub(super) fn boxes(&mut self, has_redis: bool, secrets: &[Secret]) -> BoxesConfig {
        let reachable = |value: &Value| {
            let good = |address: &SocketAddr| address.port() != 0 && !address.ip().is_unspecified();
            address(value).ok().filter(good).map(Some).ok_or_else(|| {
                "expected an IP:PORT that other boxes can connect to, such as 10.0.0.1:7000".to_owned()
            })
        };
        let advertise: Option<SocketAddr> = self.key(Key::ClusterAdvertise, None, reachable);
        let listen = self.key(Key::ClusterListen, advertise, |value| address(value).map(Some));
        let needs = [
            (Key::ClusterAdvertise, has_redis, "needs redis.url, where boxes find each other"),
            (Key::ClusterAdvertise, !secrets.is_empty(), "needs cluster.secrets, the same on all boxes"),
            (Key::ClusterListen, self.low.get(Key::ClusterAdvertise).is_some(), "needs cluster.advertise"),
        ];
        for (key, is_met, why) in needs {
            if let Some(typed) = self.low.get(key).filter(|_| !is_met && !self.complaints.names(key)) {
                self.complaints.value(key, typed, why);
            }
        }
        BoxesConfig { advertise, listen }
    }
}

/// What works and is probably not what was meant.
pub(super) fn warning(plan: &Plan) -> Option<&'static str> {
    match (&plan.shared.redis, &plan.shared.boxes) {
        (Some(_), None) => {
            Some("a session is known to this box only: set cluster.secrets, the same on all boxes")
        }
        (Some(_), Some(boxes)) if boxes.advertise.is_none() => {
            Some("other boxes cannot reach the sessions of this box: set cluster.advertise")
        }
        _ => None,
    }
}
