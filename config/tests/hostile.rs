//! Whatever the text, there is a configuration or there are errors that lie in it, and nothing panics.

use std::time::Duration;

use evenkeel_config::{Config, Diagnostic, nearest, units};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../example.toml");

/// What every message about `text` keeps to.
fn lies_in(text: &str, diagnostic: &Diagnostic) {
    let rendered = &diagnostic.rendered;
    assert!(rendered.len() < 10_000, "{rendered}");
    assert!(!rendered.chars().any(|c| c.is_control() && c != '\n'), "{rendered:?}");
    let Some(span) = diagnostic.span.clone() else {
        assert_eq!((diagnostic.line, diagnostic.column), (0, 0));
        return;
    };
    assert!(text.get(span.clone()).is_some(), "{span:?} of {} octets\n{rendered}", text.len());
    let before = &text[..span.start];
    assert_eq!(diagnostic.line, before.matches('\n').count() + 1, "{rendered}");
    assert_eq!(diagnostic.column, before.chars().rev().take_while(|c| *c != '\n').count() + 1, "{rendered}");
    assert!(rendered.contains('^'), "{rendered}");
}

fn parse(text: &str) {
    match Config::parse(text, "f") {
        Ok(parsed) => {
            assert!(parsed.config.is_valid());
            parsed.warnings.0.iter().for_each(|warning| lies_in(text, warning));
            // What serde writes is the same configuration.
            let written = toml::to_string(&parsed.config).expect("a model is a table");
            let again = Config::parse(&written, "f").expect("what is written parses");
            assert_eq!(again.config, parsed.config);
        }
        Err(errors) => {
            assert!(!errors.diagnostics.is_empty());
            errors.diagnostics.iter().for_each(|error| lies_in(text, error));
            assert!(errors.to_string().contains("error"));
        }
    }
}

/// The octets of the example at which a token may begin or end.
fn edges() -> Vec<usize> {
    let at = |(at, c): (usize, char)| (!c.is_alphanumeric()).then_some(at);
    EXAMPLE.char_indices().filter_map(at).chain([EXAMPLE.len()]).collect()
}

/// What is put into the example: words of the language, and what does not belong there.
fn pieces() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "",
        "\n",
        "\t",
        "\r\n",
        "\"",
        "[",
        "]]",
        "[[service]]\n",
        "[[port]]\n",
        "= ",
        "{ a = 1 }",
        "[]",
        "\"\"",
        "true",
        "-1",
        "0",
        "99999999999999999999",
        "1979-05-27",
        "\"10.20.0.2/24\"",
        "\"10.20.0.30:53\"",
        "\"[fd00::1]:1\"",
        "vip = 1\n",
        "\"nat\"",
        "\"dsr-mac\"",
        "\"1h\"",
        "weight = 0\n",
        "日本",
        "\u{202e}",
        "\u{feff}",
        "é\u{301}",
        "#",
        "'''",
    ]);
    prop_oneof![3 => words.prop_map(str::to_owned), 1 => any::<String>()]
}

proptest! {
    #[test]
    fn arbitrary_text(text in any::<String>()) {
        parse(&text);
    }

    #[test]
    fn the_languages_own_words_in_any_order(words in prop::collection::vec(pieces(), 0..40)) {
        parse(&words.concat());
    }

    #[test]
    fn the_example_with_some_pieces_replaced(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..4, pieces()), 1..6)
    ) {
        let edges = edges();
        let mut text = EXAMPLE.to_owned();
        let mut places: Vec<_> = changes.iter().map(|(at, tokens, piece)| (at.index(edges.len()), tokens, piece)).collect();
        places.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        let mut end = edges.len();
        for (at, tokens, piece) in places {
            let to = (at + tokens).min(end).min(edges.len() - 1).max(at);
            text.replace_range(edges[at]..edges[to], piece);
            end = at;
        }
        parse(&text);
    }

    #[test]
    fn a_duration_is_read_as_it_is_written(millis in prop_oneof![0..100_000u64, any::<u64>()]) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(units::duration(&units::duration_text(duration)), Ok(duration));
    }

    #[test]
    fn a_size_is_read_as_it_is_written(octets in prop_oneof![any::<u64>(), (0u64..1 << 14, 0u32..50).prop_map(|(n, s)| n << s)]) {
        prop_assert_eq!(units::size(&units::size_text(octets)), Ok(octets));
    }

    #[test]
    fn values_written_as_text(text in prop_oneof![any::<String>(), "[0-9a-f:./hms%\\[\\]-]{0,24}"]) {
        let _ = (units::duration(&text), units::size(&text), units::host(&text), units::endpoint(&text));
        let _ = (units::port_address(&text), units::destination(&text), units::mac(&text), units::port_range(&text));
        let _ = (units::interface_name(&text), units::device(&text), units::socket_path(&text));
        let _ = nearest::nearest(&text, ["protocol", "vip", "größe"]);
    }
}

#[test]
fn edges_of_texts() {
    for text in [
        "",
        "\n",
        "\r",
        "\u{feff}",
        "\u{feff}[balancer]\r\nworkers = [0]\r\nx = 1\r\n",
        "=",
        "[",
        "\"",
        "a.b.c = 1",
        "\0",
    ] {
        parse(text);
    }
    parse(&"[".repeat(100_000));
    parse(&format!("x = {}", "[".repeat(100_000)));
    parse(&format!("x = {}{}", "{ a = ".repeat(10_000), "1"));
    parse(&format!("{}x = 1", "a.".repeat(10_000)));
}

#[test]
fn carriage_returns_are_not_part_of_the_line() {
    let errors = Config::parse("[balancer]\r\nworkers = [0]\r\nidle = 1\r\n", "f").unwrap_err();
    assert!(errors.to_string().contains("3 | idle = 1\n  |        ^ expected"), "{errors}");
}

#[test]
fn what_is_no_text_is_shown_in_its_place() {
    let path = std::env::temp_dir().join(format!("evenkeel-not-utf8-{}.toml", std::process::id()));
    std::fs::write(&path, b"[balancer]\nidle = \"\xff\"\n").unwrap();
    let errors = Config::load(&path).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(errors.contains("2 | idle = \"\u{fffd}\"\n  |         ^"), "{errors}");
}

/// What the calling thread has had of a processor: it does not grow while others have it.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanos.expect("the kernel says how long the thread has run"))
}

/// Files that are long in every direction are answered in short, in seconds also without optimisation.
#[test]
fn long_files() {
    let port = "[[port]]\nname = \"wan\"\ndevice = \"net_tap0\"\naddresses = [\"10.0.0.1/8\"]\n";
    let base = format!("[balancer]\nworkers = [0]\nmax_backends = 65535\nmax_services = 65535\n{port}");
    let service =
        "[[service]]\nname = \"web\"\nvip = \"192.0.2.10:80\"\nprotocol = \"tcp\"\nmode = \"nat\"\n";
    let numbers = || 0..20_000u32;
    let address = |n: u32| format!("10.{}.{}.{}:80", n >> 16, (n >> 8) & 255, n & 255);

    let one_line: Vec<String> =
        numbers().map(|n| format!("{{ address = \"{}\" }}", address(n + 2))).collect();
    let cases = [
        (
            "unknown keys",
            format!(
                "{base}[limits]\n{}",
                numbers().map(|n| format!("to_kernl{n} = 1\n")).collect::<String>()
            ),
        ),
        ("backends in one line", format!("{base}{service}backend = [{}]\n", one_line.join(", "))),
        ("equal services", format!("{base}{}", service.repeat(20_000))),
        (
            "bad values in one line",
            format!("{base}[full_nat]\nlocal_addresses = [{}]\n", "\"x\", ".repeat(250)),
        ),
        ("too large", format!("{base}# {}", "x".repeat(17 << 20))),
    ];
    for (name, text) in cases {
        let before = cpu_time();
        let printed = match Config::parse(&text, "f") {
            Ok(parsed) => parsed.warnings.to_string(),
            Err(errors) => errors.to_string(),
        };
        assert!(!printed.is_empty() && printed.len() < 100_000, "{name}: {} octets", printed.len());
        let taken = cpu_time() - before;
        assert!(taken < Duration::from_secs(60), "{name}: {taken:?}");
    }
}
