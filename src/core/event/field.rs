//! The closed vocabularies of events: topics, types, faults, fields, and the sets of them that rules use.

use std::fmt;

/// The streams that an event can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    Orders,
    Logins,
    Catalog,
    Feedback,
}

impl Topic {
    pub const ALL: [Self; 4] = [Self::Orders, Self::Logins, Self::Catalog, Self::Feedback];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Logins => "logins",
            Self::Catalog => "catalog",
            Self::Feedback => "feedback",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == text)
    }
}

/// What happened. The names on the wire are a contract with the platforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EventType {
    OrderCreated,
    OrderPaid,
    OrderDelivered,
    OrderFailed,
    OrderRefunded,
    OrderCancelled,
    CardRedeemed,
    CardRedeemFailed,
    LoginSucceeded,
    LoginFailed,
    AccountPasswordChanged,
    AccountContactChanged,
    AccountPayeeChanged,
    AccountMfaReset,
    StockLevel,
    StockQueried,
    ComplaintFiled,
    SatisfactionRated,
}

impl EventType {
    pub const ALL: [Self; 18] = [
        Self::OrderCreated,
        Self::OrderPaid,
        Self::OrderDelivered,
        Self::OrderFailed,
        Self::OrderRefunded,
        Self::OrderCancelled,
        Self::CardRedeemed,
        Self::CardRedeemFailed,
        Self::LoginSucceeded,
        Self::LoginFailed,
        Self::AccountPasswordChanged,
        Self::AccountContactChanged,
        Self::AccountPayeeChanged,
        Self::AccountMfaReset,
        Self::StockLevel,
        Self::StockQueried,
        Self::ComplaintFiled,
        Self::SatisfactionRated,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrderCreated => "order.created",
            Self::OrderPaid => "order.paid",
            Self::OrderDelivered => "order.delivered",
            Self::OrderFailed => "order.failed",
            Self::OrderRefunded => "order.refunded",
            Self::OrderCancelled => "order.cancelled",
            Self::CardRedeemed => "card.redeemed",
            Self::CardRedeemFailed => "card.redeem_failed",
            Self::LoginSucceeded => "login.succeeded",
            Self::LoginFailed => "login.failed",
            Self::AccountPasswordChanged => "account.password_changed",
            Self::AccountContactChanged => "account.contact_changed",
            Self::AccountPayeeChanged => "account.payee_changed",
            Self::AccountMfaReset => "account.mfa_reset",
            Self::StockLevel => "stock.level",
            Self::StockQueried => "stock.queried",
            Self::ComplaintFiled => "complaint.filed",
            Self::SatisfactionRated => "satisfaction.rated",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event_type| event_type.as_str() == text)
    }

    pub const fn topic(self) -> Topic {
        match self {
            Self::OrderCreated
            | Self::OrderPaid
            | Self::OrderDelivered
            | Self::OrderFailed
            | Self::OrderRefunded
            | Self::OrderCancelled
            | Self::CardRedeemed
            | Self::CardRedeemFailed => Topic::Orders,
            Self::LoginSucceeded
            | Self::LoginFailed
            | Self::AccountPasswordChanged
            | Self::AccountContactChanged
            | Self::AccountPayeeChanged
            | Self::AccountMfaReset => Topic::Logins,
            Self::StockLevel | Self::StockQueried => Topic::Catalog,
            Self::ComplaintFiled | Self::SatisfactionRated => Topic::Feedback,
        }
    }

    /// Whether this type reports a failure, so that an event without an error code has the fault `unknown`.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::OrderFailed | Self::CardRedeemFailed | Self::LoginFailed)
    }
}

/// A set of event types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeSet(u32);

impl TypeSet {
    pub const EMPTY: Self = Self(0);
    pub const ALL: Self = Self((1 << EventType::ALL.len()) - 1);

    pub const fn of(event_type: EventType) -> Self {
        Self(1 << event_type as u32)
    }

    pub fn of_topic(topic: Topic) -> Self {
        EventType::ALL
            .into_iter()
            .filter(|event_type| event_type.topic() == topic)
            .fold(Self::EMPTY, |set, event_type| set.or(Self::of(event_type)))
    }

    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub const fn not(self) -> Self {
        Self(!self.0 & Self::ALL.0)
    }

    pub const fn contains(self, event_type: EventType) -> bool {
        self.0 & (1 << event_type as u32) != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Who is to blame for a failure, by the fault table of the configuration. It is never absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Fault {
    /// Nothing failed.
    None,
    /// Wrong password, insufficient balance and the like.
    Customer,
    Channel,
    Supplier,
    Platform,
    /// Failed without a code, or with one that the table lacks.
    Unknown,
}

impl Fault {
    pub const ALL: [Self; 6] =
        [Self::None, Self::Customer, Self::Channel, Self::Supplier, Self::Platform, Self::Unknown];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Customer => "customer",
            Self::Channel => "channel",
            Self::Supplier => "supplier",
            Self::Platform => "platform",
            Self::Unknown => "unknown",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == text)
    }
}

/// How a customer is looked after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    #[default]
    Individual,
    Merchant,
    /// Told through the account manager, where one is known.
    Enterprise,
}

impl Tier {
    pub const ALL: [Self; 3] = [Self::Individual, Self::Merchant, Self::Enterprise];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Individual => "individual",
            Self::Merchant => "merchant",
            Self::Enterprise => "enterprise",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text)
    }
}

/// A field of an event as rules name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    Type,
    Fault,
    Time,
    ExpiresAt,
    Text(TextField),
    Number(NumberField),
}

/// The fields that hold text. `Extra0` to `Extra7` are the platform's own, declared in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TextField {
    Id,
    AccountId,
    OrderId,
    Kind,
    Product,
    Supplier,
    Channel,
    Region,
    Currency,
    ErrorCode,
    CardId,
    Ip,
    DeviceId,
    UserAgent,
    Category,
    GeoCountry,
    GeoRegion,
    GeoCity,
    GeoAsn,
    GeoNetwork,
    Extra0,
    Extra1,
    Extra2,
    Extra3,
    Extra4,
    Extra5,
    Extra6,
    Extra7,
    CustomerTier,
    CustomerLocale,
    CustomerTimeZone,
}

impl TextField {
    /// Whether it has few values, each of them busy: what the platform has a list of, in contrast to what customers
    /// bring along. Fields of the platform's own are taken for many and thin.
    pub const fn is_few(self) -> bool {
        matches!(
            self,
            Self::Kind
                | Self::Product
                | Self::Supplier
                | Self::Channel
                | Self::Region
                | Self::Currency
                | Self::ErrorCode
                | Self::Category
                | Self::GeoCountry
                | Self::GeoRegion
                | Self::CustomerTier
        )
    }

    pub const COUNT: usize = 31;
    pub const ALL: [Self; Self::COUNT] = [
        Self::Id,
        Self::AccountId,
        Self::OrderId,
        Self::Kind,
        Self::Product,
        Self::Supplier,
        Self::Channel,
        Self::Region,
        Self::Currency,
        Self::ErrorCode,
        Self::CardId,
        Self::Ip,
        Self::DeviceId,
        Self::UserAgent,
        Self::Category,
        Self::GeoCountry,
        Self::GeoRegion,
        Self::GeoCity,
        Self::GeoAsn,
        Self::GeoNetwork,
        Self::Extra0,
        Self::Extra1,
        Self::Extra2,
        Self::Extra3,
        Self::Extra4,
        Self::Extra5,
        Self::Extra6,
        Self::Extra7,
        Self::CustomerTier,
        Self::CustomerLocale,
        Self::CustomerTimeZone,
    ];
    /// What is known of the event's customer and is not personal. No record says it: it is looked up, and only where a rule
    /// names it.
    pub const CUSTOMER: [Self; 3] = [Self::CustomerTier, Self::CustomerLocale, Self::CustomerTimeZone];
    /// The slots for fields of the platform's own, in the order in which the configuration declares them.
    pub const EXTRA: [Self; 8] = [
        Self::Extra0,
        Self::Extra1,
        Self::Extra2,
        Self::Extra3,
        Self::Extra4,
        Self::Extra5,
        Self::Extra6,
        Self::Extra7,
    ];

    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in rules and (without `geo.`) on the wire. Extra fields have theirs in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::AccountId => "account_id",
            Self::OrderId => "order_id",
            Self::Kind => "kind",
            Self::Product => "product",
            Self::Supplier => "supplier",
            Self::Channel => "channel",
            Self::Region => "region",
            Self::Currency => "currency",
            Self::ErrorCode => "error_code",
            Self::CardId => "card_id",
            Self::Ip => "ip",
            Self::DeviceId => "device_id",
            Self::UserAgent => "user_agent",
            Self::Category => "category",
            Self::GeoCountry => "geo.country",
            Self::GeoRegion => "geo.region",
            Self::GeoCity => "geo.city",
            Self::GeoAsn => "geo.asn",
            Self::GeoNetwork => "geo.network",
            Self::Extra0 => "extra.0",
            Self::Extra1 => "extra.1",
            Self::Extra2 => "extra.2",
            Self::Extra3 => "extra.3",
            Self::Extra4 => "extra.4",
            Self::Extra5 => "extra.5",
            Self::Extra6 => "extra.6",
            Self::Extra7 => "extra.7",
            Self::CustomerTier => "customer.tier",
            Self::CustomerLocale => "customer.locale",
            Self::CustomerTimeZone => "customer.time_zone",
        }
    }
}

/// The fields that hold a number. Amounts are decimals, never floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum NumberField {
    Amount,
    Quantity,
    Level,
    Score,
}

impl NumberField {
    pub const COUNT: usize = 4;
    pub const ALL: [Self; Self::COUNT] = [Self::Amount, Self::Quantity, Self::Level, Self::Score];

    pub const fn index(self) -> usize {
        self as usize
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amount => "amount",
            Self::Quantity => "quantity",
            Self::Level => "level",
            Self::Score => "score",
        }
    }
}

/// A set of text fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextSet(u32);

impl TextSet {
    pub const EMPTY: Self = Self(0);
    pub const ALL: Self = Self(u32::MAX);
    /// [`TextField::CUSTOMER`].
    pub const CUSTOMER: Self = Self::of(TextField::CustomerTier)
        .or(Self::of(TextField::CustomerLocale))
        .or(Self::of(TextField::CustomerTimeZone));

    pub const fn of(field: TextField) -> Self {
        Self(1 << field as u32)
    }

    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn contains(self, field: TextField) -> bool {
        self.0 & (1 << field as u32) != 0
    }

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = TextField> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let index = rest.trailing_zeros() as usize;
            rest &= rest.wrapping_sub(1);
            TextField::ALL.get(index).copied()
        })
    }
}

impl FromIterator<TextField> for TextSet {
    fn from_iter<T: IntoIterator<Item = TextField>>(fields: T) -> Self {
        fields.into_iter().fold(Self::EMPTY, |set, field| set.or(Self::of(field)))
    }
}

/// The identity of a text: a 64-bit hash that is the same on every machine and in every version, so that it may be
/// written to snapshots. Two texts of one deployment share a symbol with a probability below 10⁻⁷ at a million texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub u64);

impl Symbol {
    /// The symbol of an absent field; no text has it.
    pub const MISSING: Self = Self(0);

    pub fn of(text: &str) -> Self {
        let hash = rapidhash::v3::rapidhash_v3(text.as_bytes());
        Self(if hash == 0 { 1 } else { hash })
    }

    /// The symbol of a combination; the order matters.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        let mixed = (self.0 ^ other.0.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = mixed ^ (mixed >> 29) ^ other.0.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        Self(if mixed == 0 { 1 } else { mixed })
    }
}

macro_rules! display_as_str {
    ($($name:ty),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}

display_as_str!(Topic, EventType, Fault, Tier, TextField, NumberField);

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type => f.write_str("type"),
            Self::Fault => f.write_str("fault"),
            Self::Time => f.write_str("time"),
            Self::ExpiresAt => f.write_str("expires_at"),
            Self::Text(field) => field.fmt(f),
            Self::Number(field) => field.fmt(f),
        }
    }
}
