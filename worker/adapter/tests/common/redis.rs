//! A real redis-server on a free port, or the broker that `ADAPTER_TEST_BUS` names (oxherd's bus, its example `bus`),
//! which must be as good for everything but Redis' own switches.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use redis::{Client, Cmd, FromRedisValue};

use super::until;

pub struct Redis {
    child: Child,
    port: u16,
    args: Vec<String>,
}

impl Redis {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With further arguments for redis-server.
    pub async fn with(args: &[&str]) -> Self {
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        loop {
            // The port is free now, and taken by somebody else before Redis has it once in a blue moon: then again.
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut redis = Self { child: spawn(port, &args), port, args: args.clone() };
            let up = until("redis answers or ends", async || match redis.child.try_wait().unwrap() {
                Some(_) => Some(false),
                None => redis.try_ask::<String>(&redis::cmd("PING")).await.ok().map(|_| true),
            });
            if up.await {
                return redis;
            }
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        self.try_ask(command).await.unwrap()
    }

    pub async fn publish(&self, channel: &str, payload: &[u8]) -> usize {
        self.ask(redis::cmd("PUBLISH").arg(channel).arg(payload)).await
    }

    /// How many are subscribed to the channel.
    pub async fn subscribers(&self, channel: &str) -> usize {
        let (_, count): (String, usize) = self.ask(redis::cmd("PUBSUB").arg("NUMSUB").arg(channel)).await;
        count
    }

    /// The lines of `CLIENT LIST` whose client has this name.
    pub async fn clients(&self, name: &str) -> Vec<String> {
        let all: String = self.ask(redis::cmd("CLIENT").arg("LIST")).await;
        let name = format!(" name={name} ");
        all.lines().filter(|line| line.contains(&name)).map(str::to_owned).collect()
    }

    /// kill -9
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// On the same port.
    pub async fn restart(&mut self) {
        self.child = spawn(self.port, &self.args);
        until("redis answers", async || self.try_ask::<String>(&redis::cmd("PING")).await.ok()).await;
    }

    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let status =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    async fn try_ask<T: FromRedisValue>(&self, command: &Cmd) -> redis::RedisResult<T> {
        let mut connection = Client::open(self.url())?.get_multiplexed_async_connection().await?;
        command.query_async(&mut connection).await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // A paused one dies too; one that is dead already is no news.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, args: &[String]) -> Child {
    if let Some(bus) = std::env::var_os("ADAPTER_TEST_BUS") {
        let mut command = Command::new(bus);
        command.args(["--tcp", &format!("127.0.0.1:{port}")]).args(args);
        // It ends with its input, which the child holds.
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        return command.spawn().expect("the bus is built: cargo build -p oxherd-bus --examples");
    }
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"])
        .args(args)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}
