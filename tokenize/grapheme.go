package tokenize

import (
	"unicode"
	"unicode/utf8"
)

// grapheme returns the length of what a reader takes for the first character of s (an
// extended grapheme cluster: Unicode Standard Annex 29, rules GB3 to GB13).
func grapheme(s string) int {
	r, at := utf8.DecodeRuneInString(s)
	if r < 0x300 && at < len(s) && s[at] < utf8.RuneSelf && !(r == '\r' && s[at] == '\n') {
		return at
	}
	state := after(clusterStart, r)
	for at < len(s) {
		next, n := utf8.DecodeRuneInString(s[at:])
		if !joined(state, r, next) {
			break
		}
		state = after(state, next)
		r = next
		at += n
	}
	return at
}

// cluster is what of a grapheme's past counts for whether it goes on.
type cluster int

const (
	clusterStart     cluster = iota
	clusterPicture           // a pictograph, and marks
	clusterJoiner            // that and a joiner
	clusterFlag              // one half of a flag
	clusterConsonant         // an Indic consonant, and marks
	clusterLinker            // that and a virama
	clusterOther
)

func after(state cluster, r rune) cluster {
	switch {
	case isPicture(r):
		return clusterPicture
	case r == 0x200d && state == clusterPicture:
		return clusterJoiner
	case isFlagHalf(r) && state != clusterFlag:
		return clusterFlag
	case conjunctConsonants.has(r):
		return clusterConsonant
	case (state == clusterConsonant || state == clusterLinker) && conjunctLinkers.has(r):
		return clusterLinker
	case r == 0x200d && (state == clusterConsonant || state == clusterLinker):
		return state
	case isExtend(r) && (r != 0x200c || state == clusterPicture) && state != clusterJoiner && state != clusterFlag:
		return state
	}
	return clusterOther
}

// joined tells whether there is no boundary between two characters.
func joined(state cluster, a, b rune) bool {
	switch {
	case a == '\r' && b == '\n':
		return true
	case isBreaking(a), isBreaking(b):
		return false
	case isHangulPair(a, b):
		return true
	case isExtend(b), b == 0x200d, isSpacing(b), isPrepended(a):
		return true
	case state == clusterLinker && conjunctConsonants.has(b):
		return true
	case state == clusterJoiner && isPicture(b):
		return true
	}
	return state == clusterFlag && isFlagHalf(b)
}

func isFlagHalf(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }

// isBreaking is a control: there is a boundary on both sides.
func isBreaking(r rune) bool {
	if r < 0x300 {
		return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xad
	}
	return unicode.In(r, unicode.Zl, unicode.Zp) ||
		unicode.Is(unicode.Cf, r) && !isExtend(r) && !isPrepended(r) && r != 0x200d ||
		unassignedIgnorable.has(r)
}

func isExtend(r rune) bool {
	return r >= 0x300 && (unicode.In(r, unicode.Mn, unicode.Me, unicode.Other_Grapheme_Extend) ||
		r >= 0x1f3fb && r <= 0x1f3ff || extendSince.has(r)) && !notExtend.has(r)
}

func isSpacing(r rune) bool {
	return r == 0xe33 || r == 0xeb3 ||
		r >= 0x900 && unicode.Is(unicode.Mc, r) && !isExtend(r) && !notSpacing.has(r) || spacingSince.has(r)
}

func isPrepended(r rune) bool {
	return r >= 0x600 && (unicode.Is(unicode.Prepended_Concatenation_Mark, r) || prepended.has(r))
}

func isPicture(r rune) bool { return r == 0xa9 || r == 0xae || r >= 0x203c && pictures.has(r) }

// isHangulPair is for the rules of syllables: L with L, V, LV and LVT; LV and V with V
// and T; LVT and T with T.
func isHangulPair(a, b rune) bool {
	if b < 0x1100 {
		return false
	}
	switch {
	case isHangulL(a):
		return isHangulL(b) || isHangulV(b) || isSyllable(b)
	case isSyllable(a) && (a-hangulS)%hangulTs == 0, isHangulV(a):
		return isHangulV(b) || isHangulT(b)
	case isSyllable(a), isHangulT(a):
		return isHangulT(b)
	}
	return false
}

func isSyllable(r rune) bool { return r >= hangulS && r < hangulS+hangulSs }
func isHangulL(r rune) bool {
	return r >= 0x1100 && r <= 0x115f || r >= 0xa960 && r <= 0xa97c
}
func isHangulV(r rune) bool {
	return r >= 0x1160 && r <= 0x11a7 || r >= 0xd7b0 && r <= 0xd7c6 || r == 0x16d63 || r >= 0x16d67 && r <= 0x16d6a
}
func isHangulT(r rune) bool {
	return r >= 0x11a8 && r <= 0x11ff || r >= 0xd7cb && r <= 0xd7fb
}
