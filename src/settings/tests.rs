//! What the configuration accepts, in which words it refuses, and that its example and its display tell the truth.

use std::path::PathBuf;

use super::raw::RawSettings;
use super::*;
use crate::core::event::Fault;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    /// What holds after a file and an environment; paths in errors are shortened to the file's name.
    fn load(&self, text: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
        self.layers(text, environment).check().map_err(|error| self.shorten(&error))
    }

    fn layers(&self, text: &str, environment: &[(&str, &str)]) -> Layers {
        self.try_layers(text, environment).expect("layers")
    }

    fn try_layers(&self, text: &str, environment: &[(&str, &str)]) -> Result<Layers, String> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let sources = Sources {
            file: Some(self.file("forewarn.toml", text)),
            environment: Some(environment.collect()),
            flags: Vec::new(),
        };
        Layers::read(&sources).map_err(|error| self.shorten(&error))
    }

    fn shorten(&self, error: &SettingsError) -> String {
        error.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
    Folder::new()
        .try_layers(text, environment)
        .and_then(|layers| layers.check().map_err(|error| error.to_string()))
}

fn error(text: &str, environment: &[(&str, &str)]) -> String {
    let folder = Folder::new();
    let read = folder.try_layers(text, environment);
    match read.and_then(|layers| layers.check().map_err(|error| folder.shorten(&error))) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error,
    }
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let settings = load("", &[]).expect("the defaults");
    assert_eq!(settings.kafka.brokers, ["127.0.0.1:9092"]);
    assert_eq!(settings.topics.orders.as_deref(), Some("orders"));
    assert_eq!(settings.topics.catalog, None);
    assert_eq!(settings.store.to_string(), "forewarn.db");
    assert_eq!(settings.notices.max_age, Some(Span::from_mins(360)));
    assert_eq!(settings.http.listen.map(|address| address.port()), Some(9290));
    assert!(settings.smtp.is_none() && settings.customers.is_none());
}

#[test]
fn the_contract_of_the_file_is_kept() {
    let folder = Folder::new();
    let password = folder.file("password", "hush\n");
    let text = format!(
        r#"
        [kafka]
        brokers = ["127.0.0.1:9092"]
        group   = "forewarn"
        start   = "2026-10-01T08:00:00+08:00"
        workers = 1
        options = {{ "security.protocol" = "SASL_SSL" }}
        [topics]
        orders = "shop-orders"
        [rules]
        path = "rules"
        [store]
        url = "sqlite:forewarn.db"
        [customers]
        file = "customers.jsonl"
        [smtp]
        host = "127.0.0.1"
        port = 2525
        tls  = "starttls"
        from = "Service <service@example.com>"
        user = "service"
        password_file = "{}"
        [faults]
        customer = ["WRONG_*", "BALANCE_*"]
        channel  = ["E_TIMEOUT"]
        [notices]
        mode = "hold"
        max_age = "0s"
        [http]
        listen = "off"
        [calendars.business]
        hours = {{ mon = "09:00-18:00" }}
        [sla.emergency]
        first_response = "15m"
        [guard]
        anything = 1"#,
        password.display()
    );
    let settings = folder.load(&text, &[]).expect("accepted");
    assert_eq!(settings.kafka.start, Start::At(Time::from_millis(1_790_812_800_000)));
    assert_eq!(settings.kafka.options.get("security.protocol").map(OptionValue::expose), Some("SASL_SSL"));
    assert_eq!((settings.topics.orders.as_deref(), settings.topics.logins), (Some("shop-orders"), None));
    let login = settings.smtp.and_then(|smtp| smtp.login).expect("a login");
    assert_eq!(login.password.expose_secret(), "hush");
    assert_eq!(settings.events.faults.fault("balance_low"), Fault::Customer);
    assert_eq!(settings.events.faults.fault("SUPPLIER_DOWN"), Fault::Supplier);
    assert_eq!((settings.notices.max_age, settings.http.listen), (None, None));
    assert!(
        settings.calendars["business"].holds(Time::from_millis(1_790_560_800_000)),
        "a Monday in Shanghai"
    );
}

#[test]
fn the_environment_stands_over_the_file_and_flags_over_both() {
    let folder = Folder::new();
    let file = folder.file(
        "forewarn.toml",
        "[kafka]\ngroup = \"file\"\n[rules]\npath = \"file\"\n[notices]\nbrand = \"file\"",
    );
    let environment = [
        ("FOREWARN__KAFKA__BROKERS", "one:9092, two:9092"),
        ("FOREWARN__KAFKA__WORKERS", "1"),
        ("FOREWARN__RULES__PATH", "environment"),
        ("FOREWARN__NOTICES__BRAND", "00123"),
        ("FOREWARN__SMTP__HOST", "mail"),
        ("FOREWARN__SMTP__FROM", "service@example.com"),
        ("FOREWARN__SMTP__PORT", "2525"),
        ("FOREWARN__KAFKA__OPTIONS__SECURITY__PROTOCOL", "SSL"),
        ("FOREWARN_TEST_KAFKA", "not ours"),
        ("HOME", "/"),
    ];
    let sources = Sources {
        file: Some(file),
        environment: Some(environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()),
        flags: vec![("rules.path".to_owned(), "flag".to_owned())],
    };
    let settings = Settings::load(&sources).expect("accepted");
    assert_eq!(settings.kafka.group, "file");
    assert_eq!(settings.kafka.brokers, ["one:9092", "two:9092"]);
    assert_eq!(settings.rules.path, PathBuf::from("flag"));
    assert_eq!(settings.notices.brand, "00123");
    assert_eq!(settings.smtp.map(|smtp| smtp.port), Some(2525));
    assert_eq!(settings.kafka.options.get("security.protocol").map(OptionValue::expose), Some("SSL"));
}

#[test]
fn each_mistake_is_told_with_its_place_its_key_and_what_was_expected() {
    for (text, expected) in [
        (
            "[kafka]\nbroker = \"a\"",
            "forewarn.toml:2: kafka.broker: unknown key \"broker\"; did you mean \"brokers\"?",
        ),
        ("[kafak]\ngroup = \"a\"", "forewarn.toml:1: kafak: unknown key \"kafak\"; did you mean \"kafka\"?"),
        ("[kafka]\ngroup = 7", "forewarn.toml:2: kafka.group: expected a text, found the number 7"),
        (
            "[kafka]\nworkers = \"1\"",
            "forewarn.toml:2: kafka.workers: expected a whole number up to 4294967295, found the text \"1\"",
        ),
        (
            "[kafka]\nworkers = 2",
            "forewarn.toml:2: kafka.workers: is 2, but this version runs one worker per process; expected 1",
        ),
        (
            "[smtp]\nport = 70000",
            "forewarn.toml:2: smtp.port: expected a whole number up to 65535, found the number 70000",
        ),
        ("kafka = 1", "forewarn.toml:1: kafka: expected a section, found the number 1"),
        (
            "[kafka]\nbrokers = []",
            "forewarn.toml:2: kafka.brokers: is empty; expected at least one \"host:port\"",
        ),
        (
            "[kafka]\nstart = \"yesterday\"",
            "forewarn.toml:2: kafka.start: is \"yesterday\"; expected \"earliest\", \"latest\" or a time such as \
             \"2026-10-01T08:00:00Z\"",
        ),
        (
            "[kafka.options]\n\"enable.auto.commit\" = true",
            "forewarn.toml:2: kafka.options.enable.auto.commit: can't be set here: offsets are committed once their \
             effects are durable",
        ),
        (
            "[topics]\norders = \"a\"\nlogins = \"a\"",
            "forewarn.toml:3: topics.logins: \"a\" is the same topic as topics.orders; expected another",
        ),
        (
            "[notices]\nmode = \"sent\"",
            "forewarn.toml:2: notices.mode: unknown value \"sent\"; expected one of send, hold, off",
        ),
        (
            "[notices]\nmax_age = \"6 hours\"",
            "forewarn.toml:2: notices.max_age: \"6 hours\" is not a duration; expected one such as \"30s\", \"10m\", \
             \"6h\" or \"7d\"",
        ),
        (
            "[store]\nurl = \"postgres://user:secret@db\"",
            "forewarn.toml:2: store.url: names no database; expected \"postgres://USER@HOST/DATABASE\"",
        ),
        (
            "[store]\nurl = \"mysql://user:secret@db/x\"",
            "forewarn.toml:2: store.url: is no address of a database; expected \"sqlite:FILE\", without parameters, \
             or \"postgres://USER@HOST/DATABASE\"",
        ),
        (
            "[smtp]\nhost = \"a\"",
            "forewarn.toml:1: smtp.from: is missing; expected the sender, such as \"Service <service@example.com>\"",
        ),
        (
            "[smtp]\nhost = \"a\"\nfrom = \"nobody\"",
            "forewarn.toml:3: smtp.from: \"nobody\" is no sender; expected \"Service <service@example.com>\"",
        ),
        (
            "[smtp]\nhost = \"a\"\nfrom = \"a@b\"\nuser = \"u\"\npassword = \"p\"\npassword_file = \"f\"",
            "forewarn.toml:6: smtp.password_file: is given together with smtp.password; expected one of them",
        ),
        (
            "[smtp]\nhost = \"a\"\nfrom = \"a@b\"\nuser = \"u\"\npassword_file = \"/nowhere/password\"",
            "forewarn.toml:5: smtp.password_file: the file /nowhere/password cannot be read: No such file or directory \
             (os error 2)",
        ),
        (
            "[smtp]\nhost = \"a\"\nfrom = \"a@b\"\nuser = \"u\"\npassword = \"p\"\ntls = \"none\"",
            "forewarn.toml:6: smtp.tls: is \"none\", but a password would be sent; expected \"starttls\" or \"implicit\"",
        ),
        (
            "[customers]\nfile = \"a\"\ntopic = \"b\"",
            "forewarn.toml:3: customers.topic: is given together with customers.file; expected one of them",
        ),
        (
            "[http]\nlisten = \"9290\"",
            "forewarn.toml:2: http.listen: is \"9290\"; expected \"ADDRESS:PORT\" such as \"127.0.0.1:9290\", or \"off\"",
        ),
        (
            "[events]\nextra = [\"channel\"]",
            "forewarn.toml:2: events.extra: \"channel\" is a field of every event already",
        ),
        (
            "[events.mapping]\nchanel = \"/c\"",
            "forewarn.toml:2: events.mapping.chanel: unknown field \"chanel\"; did you mean \"channel\"?",
        ),
        (
            "[events.mapping]\nchannel = { pointers = \"/c\" }",
            "forewarn.toml:2: events.mapping.channel.pointers: unknown key \"pointers\"; did you mean \"pointer\"?",
        ),
        (
            "[events.mapping]\nchannel = \"c\"",
            "forewarn.toml:2: events.mapping.channel: `c` of field `channel` is not a JSON pointer: it starts with `/` and \
             has at most 16 steps",
        ),
        (
            "time_zone = \"Asia/Shangai\"",
            "forewarn.toml:1: time_zone: there is no time zone \"Asia/Shangai\"; expected one such as \"Asia/Shanghai\"",
        ),
        (
            "[log]\nlevel = \"forewarn=loud\"",
            "forewarn.toml:2: log.level: is \"forewarn=loud\"; expected a level such as \"info\", or \
             directives such as \"info,forewarn::edge=debug\"",
        ),
        (
            "[departments]\nops = \"ops\"",
            "forewarn.toml:2: departments.ops: is no mail address; expected one such as \"team@example.com\"",
        ),
    ] {
        assert_eq!(error(text, &[]), expected);
    }
}

#[test]
fn a_mistake_in_a_calendar_is_told_with_its_key() {
    for (text, expected) in [
        (
            "[calendars.office]\nhour = \"09:00-18:00\"",
            "forewarn.toml:2: calendars.office.hour: unknown key \"hour\"; did you mean \"hours\"?",
        ),
        (
            "[calendars.office]\nhours = { mon = \"9-18\" }",
            "forewarn.toml:2: calendars.office.hours.mon: \"9-18\"; expected hours such as \"09:00-18:00\", \"22:00-06:00\" or \"00:00-24:00\"",
        ),
        (
            "[calendars.office]\ntime_zone = \"Asia/Peking\"\nspans = \"2026-11-11\"",
            "forewarn.toml:2: calendars.office.time_zone: there is no time zone \"Asia/Peking\"; expected one such as \"Asia/Shanghai\"",
        ),
    ] {
        assert_eq!(error(text, &[]), expected);
    }
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    for (name, value, expected) in [
        (
            "FOREWARN__KAFKA__BROKER",
            "a",
            "environment variable FOREWARN__KAFKA__BROKER: kafka.broker: unknown key \"broker\"; did you mean \"brokers\"?",
        ),
        (
            "FOREWARN__KAFKA__WORKERS",
            "many",
            "environment variable FOREWARN__KAFKA__WORKERS: kafka.workers: expected a whole number up to 4294967295, found the text \"many\"",
        ),
        (
            "FOREWARN__HTTP__LISTEN",
            "here",
            "environment variable FOREWARN__HTTP__LISTEN: http.listen: is \"here\"; expected \"ADDRESS:PORT\" such as \
             \"127.0.0.1:9290\", or \"off\"",
        ),
    ] {
        assert_eq!(error("", &[(name, value)]), expected);
    }
}

#[test]
fn a_file_that_is_no_toml_is_shown_where_it_breaks() {
    let told = error("[kafka]\ngroup = \n", &[]);
    assert!(told.starts_with("forewarn.toml: is not TOML\n") && told.contains("line 2"), "{told}");
    let missing = Sources { file: Some(PathBuf::from("/nowhere/f.toml")), ..Sources::default() };
    let told = Layers::read(&missing).expect_err("missing").to_string();
    assert_eq!(
        told,
        "/nowhere/f.toml: cannot read the configuration file: No such file or directory (os error 2)"
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = error("[kafka]\nworkers = 0\n[http]\nlisten = \"x\"\n[topics]\norders = \"a b\"", &[]);
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn the_example_holds_every_key_at_its_default() {
    let folder = Folder::new();
    let raw = folder.layers(EXAMPLE, &[]).raw;
    let mut expected = RawSettings::default();
    expected.store.url = Some("sqlite:forewarn.db".to_owned());
    assert_eq!(raw, expected);
    let as_written = |text: &str| format!("{:?}", folder.load(text, &[]).expect("accepted"));
    assert_eq!(as_written(EXAMPLE), as_written(""));
}

/// The whole example, with the secrets that it names in files of this folder.
fn whole_example_in(folder: &Folder) -> String {
    let secret = folder.file("secret", "hush, a secret that is long enough");
    let secret = secret.display().to_string();
    whole_example().replace("/run/secrets/smtp", &secret).replace("/run/secrets/reload-token", &secret)
}

/// The example with its examples switched on, and with what they stand for switched off.
fn whole_example() -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in EXAMPLE.lines() {
        let is_example = line
            .strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_alphabetic() || first == '['));
        let line = if is_example { line.trim_start_matches('#') } else { line };
        if let (true, Some((key, _))) = (is_example, line.split_once(" = ")) {
            let earlier = lines
                .iter()
                .rposition(|earlier| earlier.starts_with(&format!("{key} = ")) || earlier.starts_with('['));
            if let Some(earlier) = earlier.filter(|earlier| !lines[*earlier].starts_with('[')) {
                lines.remove(earlier);
            }
        }
        lines.push(line.to_owned());
    }
    lines.join("\n").replace("topic = \"customers\"\n", "")
}

#[test]
fn the_examples_in_the_example_are_right_too() {
    let folder = Folder::new();
    let text = whole_example_in(&folder);
    let settings = folder.load(&text, &[]).expect("accepted");
    assert!(settings.smtp.is_some() && settings.customers.is_some());
    assert_eq!(settings.events.extra, ["coupon", "campaign"]);
    assert_eq!(settings.departments.len(), 2);
}

#[test]
fn what_is_shown_can_be_read_again_and_means_the_same() {
    let folder = Folder::new();
    let text = whole_example_in(&folder);
    let layers = folder.layers(&text, &[]);
    let again = folder.layers(&layers.show(ShowOrigin::No), &[]);
    assert_eq!(again.raw, layers.raw, "{}", layers.show(ShowOrigin::No));
}

#[test]
fn secrets_are_never_shown() {
    let folder = Folder::new();
    let text = "[kafka.options]\n\"sasl.password\" = \"hush\"\n[smtp]\nhost = \"a\"\nfrom = \"a@b\"\nuser = \"u\"\npassword = \"hush\"";
    let layers = folder.layers(text, &[("FOREWARN__STORE__URL", "sqlite:x.db")]);
    let settings = layers.check().expect("accepted");
    for shown in [layers.show(ShowOrigin::Yes), format!("{settings:?}")] {
        assert!(!shown.contains("hush"), "{shown}");
    }
    let shown = layers.show(ShowOrigin::Yes);
    assert!(shown.contains("password = \"***\"  # "), "{shown}");
    assert!(shown.contains("url = \"sqlite:x.db\"  # the environment"), "{shown}");
    assert!(shown.contains("group = \"forewarn\"  # default"), "{shown}");
}
