//! What a subject costs in memory: a new one at most 200 bytes in a rule, a busy one at most 2 KiB, for each kind and for
//! each rule that is shipped. What the rules say of themselves is compared with what the allocator hands out.

#![expect(
    unsafe_code,
    reason = "the allocator of these tests counts what each thread holds, and can't be made otherwise"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[path = "../../benches/kinds/cases.rs"]
mod cases;

use cases::{BUSY, Case, RULES, SKETCHES, dearest, of_busy, of_new};

const MOST_NEW: usize = 200;
const MOST_BUSY: usize = 2_048;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn note(bytes: isize) {
    // A thread that is ending has no count any more, and nobody to read it.
    HELD.try_with(|held| held.set(held.get() + bytes)).unwrap_or_default();
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn held() -> isize {
    HELD.with(Cell::get)
}

/// Returns whether the rule holds anything of a subject.
fn check(case: &Case, offenders: &mut Vec<String>) -> bool {
    let name = &case.name;
    let Some(place) = dearest(case, held) else { return false };
    let mut holds = false;
    for subjects in [1_000, 17_000] {
        let Some(cost) = of_new(case, place, subjects, held) else { return false };
        let (own, allocated) = (cost.own / subjects as usize, cost.allocated / subjects as usize);
        holds |= own > 0;
        if own.max(allocated) > MOST_NEW {
            offenders
                .push(format!("{name}: a new subject of {subjects} costs {own} (allocated: {allocated})"));
        }
        if allocated.abs_diff(own) > 40 + own / 5 {
            offenders.push(format!("{name}: {own} bytes are told of {allocated} for a new subject"));
        }
    }
    for busy in BUSY {
        let Some(most) = of_busy(case, busy, held) else { return false };
        if most.most() > MOST_BUSY && !case.keeps_sketch() {
            let (events, span) = (busy.0, case.span.as_millis() / busy.1 / 1_000);
            offenders.push(format!(
                "{name}: a subject with {events} events in {span} s costs {} (allocated: {})",
                most.own, most.allocated
            ));
        }
    }
    holds
}

#[test]
fn a_new_subject_costs_at_most_200_bytes_and_a_busy_one_2_kib_in_each_kind() {
    let mut offenders = Vec::new();
    for (name, written) in RULES {
        check(&Case::made_up(name, written), &mut offenders);
    }
    for (name, written) in SKETCHES {
        let cost = of_new(&Case::made_up(name, written), 0, 10_000, held).unwrap();
        if cost.most() > MOST_NEW * 10_000 {
            offenders.push(format!("{name}: a new subject costs {}", cost.own / 10_000));
        }
    }
    assert!(offenders.is_empty(), "too much:\n  {}", offenders.join("\n  "));
}

#[test]
fn and_so_it_is_in_the_shipped_rules() {
    let (mut offenders, cases) = (Vec::new(), Case::shipped());
    let holding = cases.iter().filter(|case| check(case, &mut offenders)).count();
    assert!(offenders.is_empty(), "too much:\n  {}", offenders.join("\n  "));
    assert!(holding >= 10, "{holding} of {} hold anything of a subject", cases.len());
}
