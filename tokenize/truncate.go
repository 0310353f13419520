package tokenize

import (
	"fmt"

	"github.com/blindbox/blindbox/internal/strictjson"
)

// truncation is the file's member of this name.
type truncation struct {
	Direction string `json:"direction"`
	MaxLength int    `json:"max_length"`
	Strategy  string `json:"strategy"`
	Stride    int    `json:"stride"`
}

// check fills in defaults, and refuses what is not known.
func (t *truncation) check() error {
	if t.Direction == "" {
		t.Direction = "Right"
	}
	if t.Strategy == "" {
		t.Strategy = "LongestFirst"
	}
	switch {
	case t.Direction != "Right" && t.Direction != "Left":
		return fmt.Errorf("tokenize: truncation to the direction %.20q, must be Left or Right", t.Direction)
	case t.Strategy != "LongestFirst" && t.Strategy != "OnlyFirst" && t.Strategy != "OnlySecond":
		return fmt.Errorf("tokenize: truncation by the strategy %.20q, must be LongestFirst, OnlyFirst or OnlySecond", t.Strategy)
	case t.MaxLength < 0 || t.MaxLength > most || t.Stride < 0 || t.Stride > t.MaxLength:
		return fmt.Errorf("tokenize: truncation to %d tokens with a stride of %d, the stride must be the smaller", t.MaxLength, t.Stride)
	}
	return nil
}

// enough is how many tokens of a text must be known: what is over may not be looked at.
func (t *truncation) enough(second bool) int {
	if t == nil || t.Strategy == "OnlySecond" && !second {
		return 0
	}
	return max(1, t.MaxLength)
}

// apply cuts one text or two, second being nil for one, to what remains beside special
// tokens.
func (t *truncation) apply(first, second *encoded, special int) error {
	if t == nil {
		return nil
	}
	room := t.MaxLength - special
	if room < 0 {
		return fmt.Errorf("tokenize: truncation to %d tokens, of which %d are special", t.MaxLength, special)
	}
	n1, n2 := len(first.ids), 0
	if second != nil {
		n2 = len(second.ids)
	}
	over := n1 + n2 - room
	if over <= 0 {
		return nil
	}
	if room == 0 {
		n1, n2, over = 0, 0, 0
	} else if err := t.share(&n1, &n2, room, over, second != nil); err != nil {
		return err
	}
	t.cut(first, n1)
	if second != nil {
		t.cut(second, n2)
	}
	return nil
}

// share says how many tokens of each text remain.
func (t *truncation) share(n1, n2 *int, room, over int, pair bool) error {
	target := n1
	switch {
	case t.Strategy == "LongestFirst" && pair:
		*n1, *n2 = shareLongest(*n1, *n2, room)
		return nil
	case t.Strategy == "OnlySecond" && !pair:
		return fmt.Errorf("tokenize: truncation of the second text, and there is only one")
	case t.Strategy == "OnlySecond":
		target = n2
	}
	if *target <= over {
		return fmt.Errorf("tokenize: truncation to %d tokens needs %d removed from a text of %d", room, over, *target)
	}
	*target -= over
	return nil
}

// shareLongest takes from the longer text until both are of one length, then from both.
func shareLongest(n1, n2, room int) (int, int) {
	swap := n1 > n2
	if swap {
		n1, n2 = n2, n1
	}
	if n1 > room {
		n2 = n1
	} else {
		n2 = max(n1, room-n1)
	}
	if n1+n2 > room {
		n1 = room / 2
		n2 = n1 + room%2
	}
	if swap {
		return n2, n1
	}
	return n1, n2
}

func (t *truncation) cut(e *encoded, n int) {
	if n >= len(e.ids) {
		return
	}
	if t.Direction == "Left" {
		e.cut(len(e.ids)-n, len(e.ids))
	} else {
		e.cut(0, n)
	}
}

// padding is the file's member of this name.
type padding struct {
	Strategy  paddingStrategy `json:"strategy"`
	Direction string          `json:"direction"`
	Multiple  *int            `json:"pad_to_multiple_of"`
	ID        uint32          `json:"pad_id"`
	TypeID    uint32          `json:"pad_type_id"`
	Token     string          `json:"pad_token"`
}

func (p *padding) check(lim Limits) error {
	if p.Direction != "Left" && p.Direction != "Right" {
		return fmt.Errorf("tokenize: padding to the direction %.20q, must be Left or Right", p.Direction)
	}
	if m := orZero(p.Multiple); m < 0 || m > lim.TextBytes || p.Strategy.fixed > lim.TextBytes {
		return fmt.Errorf("tokenize: padding to %d tokens or a multiple of %d, the limit is %d: %w", p.Strategy.fixed, m, lim.TextBytes, ErrLimit)
	}
	return nil
}

// length is what an encoding of n tokens is filled up to.
func (p *padding) length(n int) int {
	if p.Strategy.isFixed {
		n = max(n, p.Strategy.fixed)
		if m := orZero(p.Multiple); m > 0 {
			n = max(n, (p.Strategy.fixed+m-1)/m*m)
		}
		return n
	}
	if m := orZero(p.Multiple); m > 0 {
		n = (n + m - 1) / m * m
	}
	return n
}

// apply fills an encoding up to n tokens.
func (p *padding) apply(e Encoding, n int) Encoding {
	missing := n - e.Len()
	if p == nil || missing <= 0 {
		return e
	}
	var fill Encoding
	for range missing {
		fill.add(int64(p.ID), int64(p.TypeID), 0, true)
	}
	if e.Offsets != nil {
		fill.Offsets = make([]Span, missing)
	}
	if p.Direction == "Left" {
		return join(fill, e)
	}
	return join(e, fill)
}

func join(a, b Encoding) Encoding {
	return Encoding{
		IDs:           append(a.IDs, b.IDs...),
		TypeIDs:       append(a.TypeIDs, b.TypeIDs...),
		AttentionMask: append(a.AttentionMask, b.AttentionMask...),
		Special:       append(a.Special, b.Special...),
		Offsets:       append(a.Offsets, b.Offsets...),
	}
}

// paddingStrategy is "BatchLongest" or {"Fixed": n}.
type paddingStrategy struct {
	isFixed bool
	fixed   int
}

// ReadStrictJSON reads the strategy.
func (s *paddingStrategy) ReadStrictJSON(r *strictjson.Reader) error {
	if r.Kind() == strictjson.String {
		name, err := r.String()
		if err == nil && name != "BatchLongest" {
			return fmt.Errorf("tokenize: padding by the strategy %.20q, must be BatchLongest or Fixed", name)
		}
		return err
	}
	return r.Object(func(name string) error {
		if name != "Fixed" {
			return fmt.Errorf("tokenize: padding by the strategy %.20q, must be BatchLongest or Fixed", name)
		}
		n, err := r.Uint(31)
		s.isFixed, s.fixed = true, int(n)
		return err
	})
}
