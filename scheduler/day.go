package scheduler

import (
	"math/bits"
	"time"
)

// in returns the days that match, bit n for day n, of a month with that many days
// that begins on that day of the week.
func (r *dayRule) in(days int, first time.Weekday) uint32 {
	all := uint32(1)<<(days+1) - 2
	byDate := r.days & all
	for rest := r.nearest & all; rest != 0; rest &= rest - 1 {
		byDate |= 1 << nearestWeekday(bits.TrailingZeros32(rest), days, first)
	}
	for rest := r.fromLast; rest != 0; rest &= rest - 1 {
		if d := days - bits.TrailingZeros32(rest); d > 0 {
			byDate |= 1 << d
		}
	}
	if r.lastWeek {
		byDate |= 1 << nearestWeekday(days, days, first)
	}
	var byWeek uint32
	for d := 1; d <= days; d++ {
		w := (int(first) + d - 1) % 7
		if r.weekdays&(1<<w) != 0 || r.nth[w]&(1<<((d+6)/7)) != 0 || (d+7 > days && r.last&(1<<w) != 0) {
			byWeek |= 1 << d
		}
	}
	if r.both {
		return byDate & byWeek
	}
	return byDate | byWeek
}

// nearestWeekday returns the day from Monday to Friday that is next to a day,
// within the month.
func nearestWeekday(day, days int, first time.Weekday) int {
	switch w := time.Weekday((int(first) + day - 1) % 7); {
	case w == time.Saturday && day == 1:
		return 3
	case w == time.Saturday:
		return day - 1
	case w == time.Sunday && day == days:
		return day - 2
	case w == time.Sunday:
		return day + 1
	}
	return day
}

func daysIn(year int, month time.Month) int {
	switch month {
	case time.April, time.June, time.September, time.November:
		return 30
	case time.February:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// nextBit returns the lowest bit that is set, not below least; -1 where there is
// none.
func nextBit(set uint64, least int) int {
	if least > 63 {
		return -1
	}
	if set = set >> least << least; set == 0 {
		return -1
	}
	return bits.TrailingZeros64(set)
}

// floorDiv returns the quotient rounded down, and the rest, which is not
// negative.
func floorDiv(a, b int64) (quotient, rest int64) {
	quotient, rest = a/b, a%b
	if rest < 0 {
		quotient, rest = quotient-1, rest+b
	}
	return quotient, rest
}
