//! A tree as the source of values: serde's deserializer over it, whose errors know their place.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::U64Deserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};

use super::tree::{Key, Kind, Node, Scalar};
use super::{Fault, Location, Said};
use crate::lifecycle::diagnostic::nearest;

/// The name by which a [`Spanned`] asks for the place of its value.
const SPANNED: &str = "$spanned";
const SPANNED_FIELDS: [&str; 5] = ["from", "to", "defined_from", "defined_to", "value"];

/// A value and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it is used.
    pub referenced: Location,
    /// Where it is written: elsewhere, when a YAML alias uses it.
    pub defined: Location,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpannedVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for SpannedVisitor<T> {
            type Value = Spanned<T>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a value with its place")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut places = [0_usize; 4];
                for place in &mut places {
                    let (_, at): (de::IgnoredAny, u64) =
                        map.next_entry()?.ok_or_else(|| de::Error::custom("no place"))?;
                    *place = usize::try_from(at).unwrap_or(usize::MAX);
                }
                let (_, value): (de::IgnoredAny, T) =
                    map.next_entry()?.ok_or_else(|| de::Error::custom("no value"))?;
                let [from, to, defined_from, defined_to] = places;
                Ok(Spanned {
                    value,
                    referenced: Location { start: from, end: to },
                    defined: Location { start: defined_from, end: defined_to },
                })
            }
        }
        deserializer.deserialize_struct(SPANNED, &SPANNED_FIELDS, SpannedVisitor(PhantomData))
    }
}

/// Why a tree cannot be read as what is asked for.
#[derive(Debug, Clone)]
pub(crate) struct ReadError {
    said: Box<Said>,
    /// Where it is, once known.
    at: Option<Location>,
    /// The steps from there to the root.
    steps: Vec<usize>,
    missing: Option<&'static str>,
    /// The key that was probably meant, where nobody asks for what is there.
    meant: Option<&'static str>,
    /// Already complained of.
    is_known: bool,
}

impl ReadError {
    fn new(said: Said) -> ReadError {
        ReadError {
            said: Box::new(said),
            at: None,
            steps: Vec::new(),
            missing: None,
            meant: None,
            is_known: false,
        }
    }

    fn at(mut self, at: Location) -> ReadError {
        self.at.get_or_insert(at);
        self
    }

    fn below(mut self, index: usize) -> ReadError {
        self.steps.push(index);
        self
    }

    /// The steps from the root to what has to be left out.
    pub(super) fn path(&self) -> Vec<usize> {
        self.steps.iter().rev().copied().collect()
    }

    /// The key that is missing, if that is what is wrong.
    pub(super) fn missing(&self) -> Option<&'static str> {
        self.missing
    }

    /// The key that was probably meant, if a key is not known.
    pub(super) fn meant(&self) -> Option<&'static str> {
        self.meant
    }

    pub(super) fn fault(self, root: &Node, text: &str) -> Option<Fault> {
        let mut at = self.at.unwrap_or(root.referenced);
        // What is wrong as a whole is shown by its first line.
        let range = at.range(text);
        if let Some(line) = text[range.clone()].find('\n') {
            at = Location { start: range.start, end: range.start + line };
        }
        (!self.is_known).then_some(Fault { at, said: *self.said })
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said.message)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        ReadError::new(Said::new(message.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let said = Said::new(format!("this should be {expected}")).label("something else");
        ReadError::new(said.help(format!("here is {}", found(&unexpected))))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        ReadError::new(Said::unknown_word(variant, expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let meant = nearest(field, expected.iter().copied());
        ReadError { meant, ..ReadError::new(Said::unknown_key(field, expected)) }
    }

    fn missing_field(field: &'static str) -> Self {
        let said = Said::new(format!("the key `{field}` is missing"));
        ReadError { missing: Some(field), ..ReadError::new(said.help(format!("add `{field}:`"))) }
    }

    fn duplicate_field(field: &'static str) -> Self {
        ReadError::new(Said::new(format!("`{field}` is there twice")).label("the second"))
    }
}

fn found(unexpected: &Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(flag) => format!("`{flag}`, a yes or no"),
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => {
            "a number".to_owned()
        }
        Unexpected::Str(text) => format!("the text `{text}`"),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map of keys and values".to_owned(),
        Unexpected::Unit => "nothing".to_owned(),
        other => other.to_string(),
    }
}

impl Scalar {
    fn is_null(&self) -> bool {
        self.is_plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    fn flag(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" if self.is_plain => Some(true),
            "false" if self.is_plain => Some(false),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        let digits = self.text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
        let number = self.text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.filter(|_| self.is_plain && digits)
    }

    fn visit<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, ReadError> {
        if self.is_null() {
            return visitor.visit_unit();
        }
        if let Some(flag) = self.flag() {
            return visitor.visit_bool(flag);
        }
        match self.number() {
            // Kept as written where a text is as good: `1.10` is not `1.1`.
            Some(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
                visitor.visit_i64(number as i64)
            }
            Some(number) => visitor.visit_f64(number),
            None => visitor.visit_str(&self.text),
        }
    }
}

impl Node {
    fn wrong(&self, said: Said) -> ReadError {
        ReadError::new(said).at(self.referenced)
    }

    fn scalar(&self, message: &'static str) -> Result<&Scalar, ReadError> {
        match &self.kind {
            Kind::Scalar(scalar) if !scalar.is_null() => Ok(scalar),
            Kind::Scalar(_) => Err(self.nothing()),
            Kind::Broken => Err(ReadError { is_known: true, ..self.wrong(Said::new(message)) }),
            Kind::List(_) | Kind::Map(_) => {
                Err(self.wrong(Said::new(message).label("something else")))
            }
        }
    }

    fn nothing(&self) -> ReadError {
        let said = Said::new("there is no value here").label("nothing");
        self.wrong(said.help("give the key a value, or leave it out"))
    }

    fn whole(&self) -> Result<i64, ReadError> {
        const MESSAGE: &str = "this should be a whole number";
        let scalar = self.scalar(MESSAGE)?;
        let whole = scalar.text.parse::<i64>().ok().filter(|_| scalar.is_plain);
        whole.ok_or_else(|| self.wrong(Said::new(MESSAGE).label("something else")))
    }
}

const TEXT: &str = "this should be one word or one text";
const MAP: &str = "this should be a map of keys and values, as `key: value`";
const LIST: &str = "this should be a list, as `[one, two]`";

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $ty:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            let number = <$ty>::try_from(self.whole()?).map_err(|_| {
                self.wrong(Said::new("this number is out of range").label("too large, or negative"))
            })?;
            visitor.$visit(number)
        }
    )*};
}

impl<'de> Deserializer<'de> for &Node {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.visit(visitor),
            Kind::List(items) => visitor.visit_seq(Items { items, index: 0 }),
            Kind::Map(entries) => visitor.visit_map(Entries { entries, index: 0 }),
            Kind::Broken => Err(ReadError { is_known: true, ..self.nothing() }),
        }
        .map_err(|error| error.at(self.referenced))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        const MESSAGE: &str = "this should be `true` or `false`";
        let scalar = self.scalar(MESSAGE)?;
        match scalar.flag() {
            Some(flag) => visitor.visit_bool(flag),
            None => {
                let said = Said::new(MESSAGE).label("something else");
                Err(self.wrong(said.help("in YAML 1.2, `yes`, `no`, `on` and `off` are texts")))
            }
        }
    }

    whole_numbers!(
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64
    );

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        const MESSAGE: &str = "this should be a number";
        let scalar = self.scalar(MESSAGE)?;
        match scalar.number() {
            Some(number) => visitor.visit_f64(number),
            None if !scalar.is_plain && scalar.text.parse::<f64>().is_ok() => {
                let said = Said::new(MESSAGE).label("a text");
                Err(self.wrong(said.help("a number has no quotes")))
            }
            None => Err(self.wrong(Said::new(MESSAGE).label("something else"))),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let scalar = self.scalar(TEXT)?;
        visitor.visit_str(&scalar.text).map_err(|error: ReadError| error.at(self.referenced))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    /// A key without a value is a mistake, and not the absence of the key.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.kind {
            Kind::List(items) => visitor
                .visit_seq(Items { items, index: 0 })
                .map_err(|error| error.at(self.referenced)),
            Kind::Scalar(scalar) if scalar.is_null() => Err(self.nothing()),
            _ => {
                let is_known = matches!(self.kind, Kind::Broken);
                let wrong = self.wrong(Said::new(LIST).label("something else"));
                Err(ReadError { is_known, ..wrong })
            }
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_seq(visitor)
    }

    /// A section of which every line is commented out is an empty one.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.kind {
            Kind::Map(entries) => visitor
                .visit_map(Entries { entries, index: 0 })
                .map_err(|error| error.at(self.referenced)),
            Kind::Scalar(scalar) if scalar.is_null() => {
                visitor.visit_map(Entries { entries: &[], index: 0 })
            }
            _ => {
                let is_known = matches!(self.kind, Kind::Broken);
                let wrong = self.wrong(Said::new(MAP).label("something else"));
                Err(ReadError { is_known, ..wrong })
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if name == SPANNED {
            return visitor.visit_map(Placed { node: self, index: 0 });
        }
        match &self.kind {
            Kind::Scalar(scalar) if scalar.is_null() => Err(self.nothing()),
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.scalar(TEXT)?;
        visitor.visit_enum(self).map_err(|error: ReadError| error.at(self.referenced))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }
}

/// A word of an enumeration.
impl<'de> EnumAccess<'de> for &Node {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), ReadError> {
        seed.deserialize(self).map(|value| (value, self))
    }
}

impl<'de> VariantAccess<'de> for &Node {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, ReadError> {
        Err(self.wrong(Said::new(TEXT)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ReadError> {
        Err(self.wrong(Said::new(TEXT)))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, ReadError> {
        Err(self.wrong(Said::new(TEXT)))
    }
}

struct Items<'n> {
    items: &'n [Node],
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = ReadError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ReadError> {
        let Some(item) = self.items.get(self.index) else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(item).map(Some).map_err(|error| error.below(index))
    }
}

struct Entries<'n> {
    entries: &'n [(Key, Node)],
    index: usize,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ReadError> {
        let Some((key, _)) = self.entries.get(self.index) else { return Ok(None) };
        let scalar = Scalar { text: key.text.clone(), is_plain: false };
        let node = Node { referenced: key.at, defined: key.at, kind: Kind::Scalar(scalar) };
        seed.deserialize(&node).map(Some).map_err(|error| error.at(key.at).below(self.index))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ReadError> {
        let Some((_, value)) = self.entries.get(self.index) else {
            return Err(de::Error::custom("a value without a key"));
        };
        let index = self.index;
        self.index += 1;
        seed.deserialize(value).map_err(|error| error.below(index))
    }
}

/// A node with its places, for [`Spanned`].
struct Placed<'n> {
    node: &'n Node,
    index: usize,
}

impl<'de> MapAccess<'de> for Placed<'_> {
    type Error = ReadError;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ReadError> {
        let Some(field) = SPANNED_FIELDS.get(self.index) else { return Ok(None) };
        seed.deserialize((*field).into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ReadError> {
        let Node { referenced, defined, .. } = self.node;
        let places = [referenced.start, referenced.end, defined.start, defined.end];
        let place = places.get(self.index);
        self.index += 1;
        match place {
            Some(place) => {
                let place: U64Deserializer<ReadError> = (*place as u64).into_deserializer();
                seed.deserialize(place)
            }
            None => seed.deserialize(self.node),
        }
    }
}
