//! The open packet: the first thing that a session says, with the id that the client has to repeat.

use std::time::Duration;

use engineioxide_core::{Sid, TransportType};

use crate::config::EngineIoConfig;

/// The open packet as text, its type character included.
///
/// Written by hand because the id on the wire may be longer than a [`Sid`]: `<sid>.<tag>`.
pub(crate) fn open_packet(
    sid: Sid,
    tag: Option<&str>,
    transport: TransportType,
    config: &EngineIoConfig,
) -> String {
    let upgradable =
        transport == TransportType::Polling && config.allowed_transport(TransportType::Websocket);
    let upgrades = if upgradable { r#""websocket""# } else { "" };
    let (dot, tag) = tag.map_or(("", ""), |tag| (".", tag));
    format!(
        r#"0{{"sid":"{sid}{dot}{tag}","upgrades":[{upgrades}],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
        millis(config.ping_interval),
        millis(config.ping_timeout),
        config.max_payload,
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_packet_is_what_engine_io_core_would_write() {
        let config = EngineIoConfig::default();
        let sid = Sid::new();
        for transport in [TransportType::Polling, TransportType::Websocket] {
            let upgrades = match transport {
                TransportType::Polling => vec![TransportType::Websocket],
                TransportType::Websocket => vec![],
            };
            let packet = engineioxide_core::OpenPacket {
                sid,
                upgrades: upgrades.into_iter().collect(),
                ping_interval: config.ping_interval,
                ping_timeout: config.ping_timeout,
                max_payload: config.max_payload,
            };
            let want = String::from(engineioxide_core::Packet::Open(packet));
            assert_eq!(open_packet(sid, None, transport, &config), want);
        }
    }

    #[test]
    fn a_tag_follows_the_id_after_a_dot_and_a_forbidden_upgrade_is_not_offered() {
        let config = EngineIoConfig::builder().transports([TransportType::Polling]).build();
        let sid: Sid = "AAAAAAAAAAAAAAHs".parse().unwrap();
        let packet = open_packet(sid, Some("1abc"), TransportType::Polling, &config);
        assert!(packet.starts_with(r#"0{"sid":"AAAAAAAAAAAAAAHs.1abc","upgrades":[],"#), "{packet}");
    }
}
