use std::fs;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};

use super::*;
use crate::protocol::{Answer, Report};
use crate::testing::{CONFIG, Rig};

/// 2027-01-01, in seconds since 1970.
const NOW: i64 = 1_798_761_600;

/// Files of one test, removed with the value.
struct Folder {
    path: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let path = std::env::temp_dir().join(format!("evenkeel-secrets-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        fs::write(path.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { path, issuer: Issuer::new(params, key) }
    }

    /// Writes a certificate for a host until this year, and its key.
    fn issue(&self, file: &str, host: &str, until: i32) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(until, 1, 1));
        let key = KeyPair::generate().unwrap();
        self.write(&format!("{file}.pem"), &params.signed_by(&key, &self.issuer).unwrap().pem());
        self.write(&format!("{file}.key"), &key.serialize_pem());
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path.join(file), text).unwrap();
    }

    /// A configuration with one service; `DIR` stands for the folder.
    fn config(&self, service: &str) -> Config {
        let head = "[balancer]\nworkers = [0]\n[full_nat]\nlocal_addresses = [\"10.0.0.9\"]\n[[port]]\nname = \"wan\"\n\
                    device = \"net_null0\"\nkernel = \"ek0\"\naddresses = [\"10.0.0.1/24\"]\n[[service]]\nname = \"shop\"\n\
                    vip = \"192.0.2.10:443\"\nprotocol = \"tcp\"\nmode = \"l7\"\nbackend = [{ address = \"10.0.0.5:443\" }]\n";
        let text = format!("{head}{}", service.replace("DIR", self.path.to_str().unwrap()));
        Config::parse(&text, "f").map_err(|errors| panic!("{errors}")).unwrap().config
    }

    fn load(&self, service: &str, before: &Secrets) -> Result<Secrets, Vec<String>> {
        let shown = |flaws: Vec<Flaw>| {
            let shown = flaws.iter().map(|flaw| flaw.to_string().replace(self.path.to_str().unwrap(), "DIR"));
            shown.collect()
        };
        Secrets::load(&self.config(service), NOW, before).map_err(shown)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

const ONE: &str = "[service.tls]\ncertificates = [{ chain = \"DIR/a.pem\", key = \"DIR/a.key\" }]\n";

#[test]
fn what_should_not_be_used_is_refused_by_its_file_all_of_it_at_once() {
    let folder = Folder::new();
    folder.issue("a", "a.example", 2030);
    folder.issue("old", "b.example", 2026);
    folder.write("empty", "");
    folder.write("folder.pem", "no certificate");
    let flaws = folder
        .load(
            "[service.tls]\nclient = \"required\"\nca = \"DIR/empty\"\ncrl = \"DIR/ca.pem\"\n\
             certificates = [{ chain = \"DIR/a.pem\", key = \"DIR/a.key\" }, { chain = \"DIR/old.pem\", key = \"DIR/old.key\" },\n\
             { chain = \"DIR/a.pem\", key = \"DIR/old.key\" }, { chain = \"DIR/absent\", key = \"DIR/empty\" },\n\
             { chain = \"DIR/a.pem\", key = \"DIR/empty\" }]\n\
             [[service.pool]]\nname = \"default\"\ntls = { sni = \"b\", ca = \"DIR/folder.pem\" }\n",
            &Secrets::default(),
        )
        .unwrap_err();
    let begins = [
        "service shop: DIR/old.pem: the certificate has expired",
        "service shop: DIR/old.key: the private key is not the certificate's",
        "service shop: DIR/absent: No such file or directory",
        "service shop: DIR/empty: there is no private key in it",
        "service shop: DIR/empty: there is no certificate in it",
        "service shop: DIR/ca.pem: there is no revocation list in it",
        "service shop: DIR/folder.pem: there is no certificate in it",
    ];
    assert_eq!(flaws.len(), begins.len(), "{flaws:#?}");
    for (flaw, begin) in flaws.iter().zip(begins) {
        assert!(flaw.starts_with(begin), "{flaw}\n{begin}");
    }
}

#[test]
fn what_has_not_changed_stays_what_it_is() {
    let folder = Folder::new();
    folder.issue("a", "a.example", 2030);
    let both = format!(
        "{ONE}[[service.pool]]\nname = \"default\"\ntls = {{ sni = \"b.example\", ca = \"DIR/ca.pem\" }}\n"
    );
    let first = folder.load(&both, &Secrets::default()).unwrap();
    let again = folder.load(&both, &first).unwrap();
    assert!(Arc::ptr_eq(first.server("shop").unwrap(), again.server("shop").unwrap()));
    let upstream = |secrets: &Secrets| Arc::clone(secrets.upstream("shop", "default").unwrap());
    assert!(Arc::ptr_eq(&upstream(&first), &upstream(&again)));
    assert_eq!(first, again);

    folder.issue("a", "a.example", 2031);
    let renewed = folder.load(&both, &again).unwrap();
    assert!(!Arc::ptr_eq(first.server("shop").unwrap(), renewed.server("shop").unwrap()));
    assert!(Arc::ptr_eq(&upstream(&first), &upstream(&renewed)));
    assert_ne!(first, renewed);
    // Tickets of before are still good, and new ones are made by another key.
    let keys = |secrets: &Secrets| secrets.servers["shop"].keys.clone();
    assert_eq!(keys(&renewed)[1..], keys(&first)[..]);

    let strict = both.replace("[service.tls]", "[service.tls]\nclient = \"required\"\nca = \"DIR/ca.pem\"");
    let strict = folder.load(&strict, &renewed).unwrap();
    assert_eq!(keys(&strict).len(), 1, "who has proved nothing cannot resume a session");
}

#[test]
fn keys_of_tickets_are_made_anew_and_the_last_ones_are_known() {
    let folder = Folder::new();
    folder.issue("a", "a.example", 2030);
    let first = folder.load(ONE, &Secrets::default()).unwrap();
    let mut secrets = first.clone();
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(secrets.servers["shop"].keys[0]);
        secrets = secrets.rotated();
    }
    let keys = &secrets.servers["shop"].keys;
    assert_eq!(keys.len(), TICKET_KEYS);
    assert_eq!(keys[1..], [seen[3], seen[2]]);
    assert!(!seen.contains(&keys[0]));
    assert_eq!(first, secrets, "nothing that files say is another");
    assert!(!Arc::ptr_eq(first.server("shop").unwrap(), secrets.server("shop").unwrap()));
}

#[test]
fn a_thousand_certificates() {
    let folder = Folder::new();
    let mut text = "[service.tls]\ncertificates = [\n".to_owned();
    for number in 0..1_000 {
        folder.issue(&format!("c{number}"), &format!("h{number}.example.com"), 2030);
        text.push_str(&format!("  {{ chain = \"DIR/c{number}.pem\", key = \"DIR/c{number}.key\" }},\n"));
    }
    text.push_str("]\n");
    let secrets = folder.load(&text, &Secrets::default()).unwrap();
    assert_eq!(secrets.servers["shop"].certificates.len(), 1_000);
}

#[test]
fn a_reload_takes_new_certificates_or_nothing_and_keys_are_made_anew_in_time() {
    let folder = Folder::new();
    folder.issue("a", "a.example", 2090);
    let service = "[[service]]\nname = \"shop\"\nvip = \"192.0.2.20:443\"\nprotocol = \"tcp\"\nmode = \"l7\"\nrespond = {}\n";
    let text = format!("{CONFIG}{service}{}", ONE.replace("DIR", folder.path.to_str().unwrap()));
    let mut rig = Rig::new(&text);
    let tls = |rig: &Rig| {
        let shop = rig.control.desired.service("shop").unwrap().id;
        Arc::clone(rig.control.tables.site_of(shop).unwrap().tls.as_ref().unwrap())
    };
    let changed = |answer: Answer| match answer {
        Answer::Done { report: Some(Report::Reload(report)), .. } => report.settings_changed,
        other => panic!("{other:?}"),
    };
    let first = tls(&rig);
    assert_eq!(changed(rig.reload(&text)), [""; 0]);
    assert!(Arc::ptr_eq(&first, &tls(&rig)));

    folder.issue("a", "a.example", 2091);
    assert_eq!(changed(rig.reload(&text)), ["certificates"]);
    let second = tls(&rig);
    assert!(!Arc::ptr_eq(&first, &second));

    folder.write("a.key", "no key");
    let Answer::Refused(refusal) = rig.reload(&text) else { panic!("a certificate without its key") };
    assert!(refusal.message.contains("a.key"), "{refusal}");
    assert!(Arc::ptr_eq(&second, &tls(&rig)));

    rig.now = rig.now + ROTATION;
    rig.settle();
    assert!(!Arc::ptr_eq(&second, &tls(&rig)));
}
