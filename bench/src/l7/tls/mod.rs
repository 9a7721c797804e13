//! What TLS costs: a proxy between clients and a backend over stacks of ours and a wire that is memory. Time is taken of the balancer alone, while it
//! has something to do, its TCP and the copies of its packets included. Each figure stands beside the same without TLS where there is one.

mod front;
mod octets;
mod world;

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use evenkeel_l7::tls::certificate::{Certificate, certificates};
use evenkeel_l7::tls::client::ClientTls;
use evenkeel_l7::tls::server::{Authorities, ClientCertificates, ServerTls};
use evenkeel_l7::tls::tickets::{KEY_LENGTH, Tickets};
use evenkeel_tcp::Time;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::{ClientConfig, ServerConfig};

use crate::report::{Figure, Goal, Report};
use front::Front;
use world::World;

const VIP: &str = "192.0.2.10:443";
const BACKEND: &str = "10.0.1.1:8080";
/// Where connections to backends leave from.
const OWN: [u8; 4] = [10, 0, 0, 1];
/// Clients are in this network.
const CLIENT: [u8; 4] = [198, 18, 0, 0];
const NAME: &str = "www.example";

/// Connections whose memory is measured.
const IDLE: u32 = 10_000;

/// How both sides speak TLS, with certificates of ECDSA P-256.
struct Secrets {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Secrets {
    fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate()?;
        let chain = CertificateParams::new([NAME.to_owned()])?.signed_by(&key, &issuer)?.pem();
        let time = Arc::new(rustls::time_provider::DefaultTimeProvider);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs() as i64;
        let server = ServerTls {
            certificates: vec![Certificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes(), now)?],
            clients: ClientCertificates::Off,
            protocols: vec![b"http/1.1".to_vec()],
            allows_1_2: true,
            tickets: Arc::new(Tickets::new(&[[7; KEY_LENGTH]], 3_600)?),
            time: Arc::clone(&time) as _,
        };
        let authorities = Authorities { roots: certificates(root.as_bytes())?, revoked: Vec::new() };
        let client =
            ClientTls { authorities, certificate: None, protocols: vec![b"http/1.1".to_vec()], time };
        let mut client = ClientConfig::clone(&*client.compile()?);
        client.resumption = Resumption::disabled();
        Ok(Self { server: server.compile()?, client: Arc::new(client) })
    }
}

/// Both, and a wire.
struct Scene {
    front: Front,
    world: World,
    to_front: Vec<evenkeel_tcp::Incoming<octets::Octets>>,
    to_world: Vec<evenkeel_tcp::Incoming<octets::Octets>>,
    now: Time,
}

impl Scene {
    fn new(connections: u32, secrets: Option<&Secrets>, content: usize) -> Result<Self> {
        let world = World::new(64, secrets.map(|secrets| Arc::clone(&secrets.client)), content)?;
        let front = Front::new(connections, secrets.map(|secrets| Arc::clone(&secrets.server)))?;
        Ok(Self { front, world, to_front: Vec::new(), to_world: Vec::new(), now: Time(1) })
    }

    fn turn(&mut self, micros: u64, most: usize) -> Result<()> {
        self.now = Time(self.now.0 + micros * 1_000);
        self.world.turn(self.now, &mut self.to_world, &mut self.to_front, most)?;
        self.front.turn(self.now, &mut self.to_front, &mut self.to_world);
        Ok(())
    }

    /// Goes on until every client has had so many answers.
    fn answer(&mut self, answers: usize) -> Result<()> {
        for _ in 0..10_000_000 {
            self.turn(10, answers)?;
            if self.world.clients.iter().all(|client| client.answers >= answers) {
                return Ok(());
            }
        }
        anyhow::bail!("answers do not come")
    }

    /// Goes on for a while in which nothing is asked.
    fn rest(&mut self) -> Result<()> {
        (0..30).try_for_each(|_| self.turn(20_000, 0))
    }
}

/// Prints all figures.
pub(super) fn run(report: &mut Report) -> Result<()> {
    let secrets = Secrets::new()?;
    let handshakes = handshakes(&secrets)?;
    let note = "full, ECDSA P-256, TLS 1.3, one request each";
    report.print(&Figure::new("tls-handshake", handshakes, "/s").goal(Goal::AtLeast(9_000.0)).note(note))?;
    let [clear, tls] = [requests(None, 128, 20_000)?, requests(Some(&secrets), 128, 20_000)?];
    let figure = Figure::new("tls-128", tls * 1e6, "us").beside("clear", clear * 1e6);
    report.print(&figure.goal(Goal::AtMost(8.0)).note("on a wire of memory, from its stack to its stack"))?;
    let megabyte = 1 << 20;
    let gigabits = |seconds: f64| megabyte as f64 * 8.0 / seconds / 1e9;
    let [clear, tls] =
        [requests(None, megabyte, 300)?, requests(Some(&secrets), megabyte, 300)?].map(gigabits);
    report.print(&Figure::new("tls-1m", tls, "Gbit/s").beside("clear", clear).goal(Goal::AtLeast(16.0)))?;
    let [clear, tls] = [in_process_of_its_own("clear")?, in_process_of_its_own("tls")?];
    let figure = Figure::new("idle-tls-bytes", tls, "octets").beside("clear", clear);
    let note = format!("resident memory of {IDLE} clients, their TCP included");
    Ok(report.print(&figure.goal(Goal::AtMost(6.0 * 1_024.0)).note(note))?)
}

/// Full handshakes per second of a busy core, each with a request on its connection.
fn handshakes(secrets: &Secrets) -> Result<f64> {
    const ROUNDS: u64 = 60;
    const AT_ONCE: u64 = 30;
    let mut scene = Scene::new(8_192, Some(secrets), 128)?;
    for round in 0..=ROUNDS {
        for _ in 0..AT_ONCE {
            scene.world.open(scene.now)?;
        }
        scene.answer(1)?;
        scene.world.close();
        (0..10).try_for_each(|_| scene.turn(10, 0))?;
        if round == 0 {
            scene.front.busy = 0;
        }
    }
    let counts = scene.front.proxy.counts().clients;
    ensure!((counts.handshakes, counts.resumed) == ((ROUNDS + 1) * AT_ONCE, 0), "{counts:?}");
    Ok((ROUNDS * AT_ONCE) as f64 / (scene.front.busy as f64 / 1e9))
}

/// Seconds of a busy core that a request takes, over connections that last.
fn requests(secrets: Option<&Secrets>, content: usize, count: usize) -> Result<f64> {
    const CLIENTS: usize = 16;
    let mut scene = Scene::new(1_024, secrets, content)?;
    for _ in 0..CLIENTS {
        scene.world.open(scene.now)?;
    }
    scene.answer(2)?;
    scene.front.busy = 0;
    let each = count / CLIENTS;
    scene.answer(2 + each)?;
    Ok(scene.front.busy as f64 / 1e9 / (each * CLIENTS) as f64)
}

/// Memory that something else has used and given back would not count.
fn in_process_of_its_own(how: &str) -> Result<f64> {
    let output = Command::new(std::env::current_exe()?)
        .args(["idle-client-under-observation", "--case", how])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the child")?;
    ensure!(output.status.success(), "measuring an idle client failed ({})", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Prints the octets that a client takes which has asked once and rests, over TLS or not.
///
/// # Errors
/// When one is not answered.
pub fn idle_under_observation(cases: &[String]) -> Result<()> {
    let secrets = if cases.first().is_some_and(|case| case == "tls") { Some(Secrets::new()?) } else { None };
    // What handling one takes for a while, however many there are.
    let mut scene = Scene::new(IDLE + 64, secrets.as_ref(), 128)?;
    let mut before = 0.0;
    let skipped = IDLE / 10;
    for number in 0..IDLE {
        if number == skipped {
            before = resident()?;
        }
        scene.world.open(scene.now)?;
        scene.answer(1)?;
        scene.rest()?;
        scene.world.vanish(scene.now);
    }
    ensure!(secrets.is_none() || scene.front.proxy.secured() == IDLE as usize, "a client was cut");
    println!("{}", (resident()? - before) / f64::from(IDLE - skipped));
    Ok(())
}

/// Octets of this process that are in memory.
fn resident() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = text.split_whitespace().nth(1).context("statm has no second field")?.parse()?;
    Ok(pages * 4_096.0)
}
