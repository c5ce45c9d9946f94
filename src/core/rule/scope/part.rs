//! What one partition keeps of the events of one subject at one step, and how such parts add up: the same whatever the
//! partitions and the order in which they are added.

use rust_decimal::Decimal;

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::Symbol;
use crate::core::rule::samples::Agg;
use crate::core::rule::samples::agg::{plus, square};
use crate::core::stats::distinct::Distinct;
use crate::core::stats::sketch::{Bins, bin_of};

/// A part keeps its values themselves up to this many.
pub const EXACT: usize = 64;

/// What an aggregate needs of the values, besides how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    Nothing,
    Sum,
    Squares,
    Lowest,
    Highest,
    Values,
    Distinct,
}

impl Keeps {
    /// [`None`] for an aggregate that depends on the order of events, or on the moment at which it is asked for.
    pub const fn of(agg: Agg) -> Option<Self> {
        Some(match agg {
            Agg::Count => Self::Nothing,
            Agg::Sum | Agg::Avg => Self::Sum,
            Agg::Stddev => Self::Squares,
            Agg::Min => Self::Lowest,
            Agg::Max => Self::Highest,
            Agg::Quantile(_) => Self::Values,
            Agg::Distinct => Self::Distinct,
            Agg::ModeCount | Agg::SinceLast | Agg::First | Agg::Last => return None,
        })
    }

    /// What is kept of one value.
    pub fn first(self, value: Decimal) -> Option<Part> {
        Some(match self {
            Self::Nothing => return None,
            Self::Sum => Part::Sum(value),
            Self::Squares => Part::Squares(value, square(value)),
            Self::Lowest => Part::Lowest(value),
            Self::Highest => Part::Highest(value),
            Self::Values => Part::Values(Values::Few(vec![value])),
            Self::Distinct => {
                let mut values = Distinct::default();
                values.add(hash_of(value));
                Part::Distinct(values)
            }
        })
    }
}

/// Sums, extremes or sketches of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Sum(Decimal),
    /// The sum, and that of the squares.
    Squares(Decimal, Decimal),
    Lowest(Decimal),
    Highest(Decimal),
    Values(Values),
    Distinct(Distinct),
}

/// Values for quantiles: themselves while they are few, a sketch above that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Sorted.
    Few(Vec<Decimal>),
    Many(Bins),
}

impl Values {
    fn add(&mut self, value: Decimal) {
        if let Self::Few(values) = self {
            if values.len() < EXACT {
                let place = values.partition_point(|other| *other < value);
                values.insert(place, value);
                return;
            }
            self.become_many();
        }
        if let Self::Many(bins) = self {
            bins.add(bin_of(value), 1);
        }
    }

    fn become_many(&mut self) {
        if let Self::Few(values) = self {
            let mut bins = Bins::default();
            values.iter().for_each(|value| bins.add(bin_of(*value), 1));
            *self = Self::Many(bins);
        }
    }

    fn merge(&mut self, other: &Self) {
        match other {
            Self::Few(values) => values.iter().for_each(|value| self.add(*value)),
            Self::Many(theirs) => {
                self.become_many();
                if let Self::Many(bins) = self {
                    theirs.iter().for_each(|(bin, count)| bins.add(bin, count));
                }
            }
        }
    }

    /// The bins of all values.
    pub fn bins(&self, mut each: impl FnMut(i32, u64)) {
        match self {
            Self::Few(values) => values.iter().for_each(|value| each(bin_of(*value), 1)),
            Self::Many(bins) => bins.iter().for_each(|(bin, count)| each(bin, count)),
        }
    }
}

impl Part {
    /// Adds one value.
    pub fn add(&mut self, value: Decimal) {
        match self {
            Self::Sum(sum) => *sum = plus(*sum, value),
            Self::Squares(sum, squares) => {
                *sum = plus(*sum, value);
                *squares = plus(*squares, square(value));
            }
            Self::Lowest(lowest) => *lowest = value.min(*lowest),
            Self::Highest(highest) => *highest = value.max(*highest),
            Self::Values(values) => values.add(value),
            Self::Distinct(values) => values.add(hash_of(value)),
        }
    }

    /// Adds what another part of the same kind holds.
    pub fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Squares(sum, squares), Self::Squares(other, others)) => {
                *sum = plus(*sum, *other);
                *squares = plus(*squares, *others);
            }
            (Self::Values(values), Self::Values(other)) => values.merge(other),
            (Self::Distinct(values), Self::Distinct(other)) => values.merge(other),
            (own, Self::Sum(value) | Self::Lowest(value) | Self::Highest(value)) => own.add(*value),
            (_, Self::Squares(..) | Self::Values(_) | Self::Distinct(_)) => {}
        }
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Sum(_) | Self::Squares(..) | Self::Lowest(_) | Self::Highest(_) => 0,
            Self::Values(Values::Few(values)) => values.capacity() * size_of::<Decimal>(),
            Self::Values(Values::Many(bins)) => bins.heap_bytes(),
            Self::Distinct(values) => values.heap_bytes(),
        }
    }

    pub fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Sum(value) | Self::Lowest(value) | Self::Highest(value) => writer.decimal(*value),
            Self::Squares(sum, squares) => {
                writer.decimal(*sum);
                writer.decimal(*squares);
            }
            Self::Values(Values::Few(values)) => {
                writer.bool(false);
                writer.unsigned(values.len() as u64);
                values.iter().for_each(|value| writer.decimal(*value));
            }
            Self::Values(Values::Many(bins)) => {
                writer.bool(true);
                bins.encode(writer);
            }
            Self::Distinct(values) => values.encode(writer),
        }
    }

    pub fn read(keeps: Keeps, reader: &mut Reader<'_>) -> Result<Option<Self>, CorruptState> {
        Ok(Some(match keeps {
            Keeps::Nothing => return Ok(None),
            Keeps::Sum => Self::Sum(reader.decimal()?),
            Keeps::Squares => Self::Squares(reader.decimal()?, reader.decimal()?),
            Keeps::Lowest => Self::Lowest(reader.decimal()?),
            Keeps::Highest => Self::Highest(reader.decimal()?),
            Keeps::Values if reader.bool()? => Self::Values(Values::Many(Bins::decode(reader)?)),
            Keeps::Values => {
                let values: Vec<Decimal> =
                    (0..reader.count()?).map(|_| reader.decimal()).collect::<Result<_, _>>()?;
                if values.len() > EXACT || !values.is_sorted() {
                    return Err(CorruptState);
                }
                Self::Values(Values::Few(values))
            }
            Keeps::Distinct => Self::Distinct(Distinct::decode(reader)?),
        }))
    }
}

/// The hash of a value, the same for 1 and 1.0. Texts come as the hashes that they are.
fn hash_of(value: Decimal) -> u64 {
    let value = value.normalize();
    match u64::try_from(value.mantissa()) {
        Ok(hash) if value.scale() == 0 => hash,
        _ => {
            let (high, low) = ((value.mantissa() >> 64) as u64, value.mantissa() as u64);
            Symbol(low).with(Symbol(high)).with(Symbol(u64::from(value.scale()))).0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rule::scope::encoding::start;
    use crate::core::rule::table::testing::Random;

    const ALL: [Keeps; 6] =
        [Keeps::Sum, Keeps::Squares, Keeps::Lowest, Keeps::Highest, Keeps::Values, Keeps::Distinct];

    fn part(keeps: Keeps, values: &[Decimal]) -> Option<Part> {
        let (first, rest) = values.split_first()?;
        let mut part = keeps.first(*first)?;
        rest.iter().for_each(|value| part.add(*value));
        Some(part)
    }

    #[test]
    fn parts_add_up_to_the_same_however_values_are_split_and_ordered() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let count = random.between(1, 600);
            let values: Vec<Decimal> =
                (0..count).map(|_| Decimal::new(random.between(-500, 90_000), 2)).collect();
            for keeps in ALL {
                let whole = part(keeps, &values).unwrap();
                let mut shares = vec![Vec::new(); random.between(1, 6) as usize];
                for value in values.iter().rev() {
                    let place = random.below(shares.len() as i64) as usize;
                    shares[place].push(*value);
                }
                let mut parts = shares.iter().filter_map(|values| part(keeps, values));
                let mut merged = parts.next().unwrap();
                parts.for_each(|part| merged.merge(&part));
                assert_eq!(merged, whole, "seed {seed}, {keeps:?}");
                let mut buffer = Vec::new();
                whole.write(&mut start(&mut buffer));
                let mut reader = Reader(&buffer[1..]);
                assert_eq!(Part::read(keeps, &mut reader), Ok(Some(whole)), "seed {seed}");
                assert_eq!(reader.end(), Ok(()));
                let cut = &buffer[1..buffer.len() - 1];
                assert!(Part::read(keeps, &mut Reader(cut)).is_err(), "seed {seed}, {keeps:?}");
            }
        }
    }

    #[test]
    fn equal_numbers_are_one_value_however_they_are_written() {
        let hash = |text: &str| hash_of(text.parse().unwrap());
        assert_eq!(hash("5.00"), hash("5"));
        assert_ne!(hash("0.5"), hash("5"));
        assert_ne!(hash("-5"), hash("5"));
    }
}
