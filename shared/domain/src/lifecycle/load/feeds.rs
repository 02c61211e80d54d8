//! Feeds: which sources there are, how their deliveries are signed, and which events they are.

use super::{Known, Loader, text};
use crate::feed::{
    Algorithm, Encoding, Feed, Hmac, Members, Path, Piece, Rule, SCHEMES, Scheme, SecretForm,
    Source, Text, presets,
};
use crate::lifecycle::Subject;
use crate::lifecycle::file::{self, Entries, File, OneOrMany, Word};
use crate::yaml::{self, Location, Spanned};

/// The most rules of one map.
const MAX_RULES: usize = 200;

/// Something wrong with a rule: where, what, and what to do.
type Fault = (Location, String, &'static str);

const PATHS: &str = "write a path as `data.object.id`, or a text with paths as `deal-{id}`";

/// The rules of a map that is a file of its own, and part of this program.
///
/// # Panics
/// When the file is not valid: a test reads each of them.
pub(crate) fn map_of(source: &str) -> Vec<Rule> {
    let rules: Vec<file::Rule> =
        yaml::read_strictly(source).expect("a map of this program is valid YAML");
    let mut faults = Vec::new();
    let rules = rules.iter().map(|written| rule(written, &mut faults)).collect();
    assert!(faults.is_empty(), "a map of this program is valid");
    rules
}

impl Loader<'_> {
    pub(super) fn feeds(&mut self, file: &File, subject: Subject) -> Vec<Feed> {
        self.names_fit(&file.feeds, "feeds");
        let mut feeds: Vec<Feed> = Vec::new();
        for (name, written) in &file.feeds.0 {
            if let Some(source) = &written.source {
                let known = feeds.iter().find(|feed| feed.source.as_ref() == Some(&source.value));
                if let Some(known) = known {
                    let message = format!("`{}` is the source of `{}`", source.value, known.name);
                    self.error(&source.referenced, message).help =
                        Some("give each feed a source of its own".into());
                } else if source.value.trim().is_empty() {
                    self.error(&source.referenced, "a source is not empty");
                }
            }
            let scheme = written.scheme.as_ref().and_then(|scheme| self.scheme(scheme));
            let source = written.source.as_ref().map(text);
            let says_nothing =
                written.scheme.is_none() && source.is_none() && written.map.is_none();
            let preset = match says_nothing {
                true => presets::named(&name.value),
                false => presets::of(scheme.as_ref(), source.as_deref()),
            };
            let map = match &written.map {
                Some(map) => Some(self.map(map, subject, self.is_whole("feeds", name))),
                None => preset.and_then(|preset| preset.map.clone()),
            };
            let scheme = scheme.or_else(|| preset.filter(|_| says_nothing)?.scheme.clone());
            let source = source.or_else(|| preset?.source.clone());
            let feed = Feed {
                name: text(name),
                scheme,
                source,
                each: written.each.as_ref().and_then(|each| self.path(each)),
                events: self.expected(written, map.as_deref()),
                map,
                expect_every: written.expect_every.as_ref().and_then(|word| {
                    self.window(word)?;
                    self.period(word)
                }),
            };
            feeds.push(feed);
        }
        feeds
    }

    /// The events that are expected of a feed: those it lists, else those its map makes.
    fn expected(&mut self, written: &file::Feed, map: Option<&[Rule]>) -> Vec<String> {
        let Some(map) = map else { return written.events.iter().map(text).collect() };
        let made: Vec<Option<&str>> =
            map.iter().filter_map(|rule| rule.event.as_ref()).map(Text::written).collect();
        if written.events.is_empty() {
            return made.into_iter().flatten().map(str::to_owned).collect();
        }
        if let Some(made) = made.into_iter().collect::<Option<Vec<&str>>>() {
            for event in &written.events {
                self.find(event, &Known { kind: "event in the map", names: made.clone() });
            }
        }
        written.events.iter().map(text).collect()
    }

    fn scheme(&mut self, written: &Spanned<file::Scheme>) -> Option<Scheme> {
        match &written.value {
            file::Scheme::Hmac(hmac) => self.hmac(hmac).map(Scheme::Hmac),
            file::Scheme::Named(name) => {
                let value = name.clone();
                let word =
                    Spanned { value, referenced: written.referenced, defined: written.defined };
                self.find(&word, &Known { kind: "scheme", names: SCHEMES.to_vec() })?;
                Scheme::parse(name)
            }
        }
    }

    fn hmac(&mut self, written: &file::Hmac) -> Option<Hmac> {
        let chosen = |loader: &mut Self, word: &Option<Word>, kind, names: &[&'static str]| {
            let Some(word) = word else { return Some(0) };
            loader.find(word, &Known { kind, names: names.to_vec() })
        };
        let algorithms = [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Sha1];
        let names = ["sha256", "sha512", "sha1"];
        let algorithm = algorithms[chosen(self, &written.algorithm, "algorithm", &names)?];
        let encodings = [Encoding::Hex, Encoding::Base64];
        let encoding = encodings[chosen(self, &written.encoding, "encoding", &["hex", "base64"])?];
        let forms = [SecretForm::Text, SecretForm::Base64];
        let secret = forms[chosen(self, &written.secret, "form", &["text", "base64"])?];
        let signed = match &written.signed {
            None => vec![Piece::Body],
            Some(word) => match Piece::parse_all(&word.value) {
                Ok(pieces) => pieces,
                Err(message) => {
                    self.error(&word.referenced, message).help =
                        Some("as `{timestamp}.{body}`".into());
                    return None;
                }
            },
        };
        let wants = [
            (Piece::Timestamp, &written.timestamp_header, "timestamp"),
            (Piece::Id, &written.id_header, "id"),
        ];
        for (piece, header, name) in wants {
            if let Some(word) = &written.signed
                && signed.contains(&piece)
                && header.is_none()
            {
                let message = format!("`{{{name}}}` is signed, and no header is said to have it");
                self.error(&word.referenced, message).help =
                    Some(format!("add `{name}_header:` with the header's name"));
            }
        }
        Some(Hmac {
            header: self.header(&written.header),
            algorithm,
            encoding,
            prefix: written.prefix.as_ref().map(text).unwrap_or_default(),
            signed,
            timestamp_header: written.timestamp_header.as_ref().map(|word| self.header(word)),
            id_header: written.id_header.as_ref().map(|word| self.header(word)),
            secret,
        })
    }

    /// A header's name, in lower case.
    fn header(&mut self, word: &Word) -> String {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if word.value.is_empty() || !word.value.chars().all(is_token) {
            self.error(&word.referenced, format!("`{}` is no header", word.value)).help =
                Some("write its name alone, as `x-signature`".into());
        }
        word.value.to_ascii_lowercase()
    }

    fn path(&mut self, word: &Word) -> Option<Path> {
        Path::parse(&word.value).map_err(|message| self.error(&word.referenced, message)).ok()
    }

    /// The rules of a map; where a part of it had to be left out (`is_whole`), nothing is missed.
    fn map(
        &mut self,
        written: &Spanned<Vec<Spanned<file::Rule>>>,
        subject: Subject,
        is_whole: bool,
    ) -> Vec<Rule> {
        if written.value.is_empty() || written.value.len() > MAX_RULES {
            let message = format!("a map has from 1 to {MAX_RULES} rules");
            self.error(&written.referenced, message).help =
                Some("leave `map` out for what the scheme sends by itself".into());
        }
        let mut caught_all = false;
        let mut rules = Vec::new();
        for place in &written.value {
            if caught_all {
                self.error(&place.referenced, "this rule is never reached").help =
                    Some("the one before it matches everything: put this one first".into());
            }
            caught_all |= place.value.when.0.is_empty();
            let mut faults = Vec::new();
            let rule = rule(&place.value, &mut faults);
            let is_nobody =
                rule.user.is_empty() && rule.account.is_empty() && rule.customer.is_empty();
            let said = if place.value.event.is_none() && place.value.traits.is_none() {
                Some(("this rule makes nothing", "add `event:` with a name, or `traits:`"))
            } else if is_nobody && faults.is_empty() {
                Some((
                    "this rule says nothing of whom it is about",
                    "add `customer:`, `account:` or `user:` with a path",
                ))
            } else if faults.is_empty() && !rule.can_name_a_customer(subject) {
                Some((
                    "an account is no customer where `subject` is `user`",
                    "add `user:` or `customer:` with a path",
                ))
            } else {
                None
            };
            if let Some((message, help)) = said.filter(|_| is_whole) {
                self.error(&place.referenced, message).help = Some(help.into());
            }
            for (location, message, help) in faults {
                self.error(&location, message).help = Some(help.into());
            }
            rules.push(rule);
        }
        rules
    }
}

/// Reads a rule; what cannot be read is left out of it and told.
fn rule(written: &file::Rule, faults: &mut Vec<Fault>) -> Rule {
    let when = written.when.0.iter().filter_map(|(path, texts)| {
        if texts.0.is_empty() {
            let message = format!("`{}` is never one of nothing", path.value);
            faults.push((path.referenced, message, "give a text, or a list of texts"));
        }
        Some((read(path, Path::parse, faults)?, texts.0.clone()))
    });
    Rule {
        when: when.collect(),
        event: written.event.as_ref().and_then(|word| read(word, Text::parse, faults)),
        user: sources(written.user.as_ref(), faults),
        account: sources(written.account.as_ref(), faults),
        customer: sources(written.customer.as_ref(), faults),
        id: written.id.as_ref().and_then(|word| read(word, Source::parse, faults)),
        time: written.time.as_ref().and_then(|word| read(word, Source::parse, faults)),
        properties: members(written.properties.as_ref(), faults),
        traits: members(written.traits.as_ref(), faults),
    }
}

fn read<T>(
    word: &Word,
    parse: fn(&str) -> Result<T, String>,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    parse(&word.value).map_err(|message| faults.push((word.referenced, message, PATHS))).ok()
}

fn sources(written: Option<&OneOrMany>, faults: &mut Vec<Fault>) -> Vec<Source> {
    let words = written.map(|written| written.0.as_slice()).unwrap_or_default();
    words.iter().filter_map(|word| read(word, Source::parse, faults)).collect()
}

fn members(written: Option<&file::Members>, faults: &mut Vec<Fault>) -> Members {
    match written {
        None => Members::Nothing,
        Some(file::Members::All(word)) => {
            read(word, Path::parse, faults).map_or(Members::Nothing, Members::All)
        }
        Some(file::Members::Named(Entries(entries))) => {
            let members = entries.iter().filter_map(|(name, source)| {
                Some((read(name, Text::parse, faults)?, read(source, Source::parse, faults)?))
            });
            Members::Named(members.collect())
        }
    }
}
