package tokenize

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// The library that is followed uses several tables of Unicode, of several versions: its
// patterns those of 16.0, lower case and numbers those of 17.0, and those of the
// normalizers for BERT and of punctuation are of 2016. Go has 15.0. The ranges below
// are the differences; a test that goes through every character holds them.

// between is a set of characters: pairs of first and last, in order.
type between []rune

func (b between) has(r rune) bool {
	i, exact := slices.BinarySearch(b, r)
	return exact || i%2 == 1
}

// newLetters and so on are what Unicode 16.0 has and 15.0 has not.
var (
	newUpper  = between{0x1c89, 0x1c89, 0xa7cb, 0xa7cc, 0xa7da, 0xa7da, 0xa7dc, 0xa7dc, 0x10d50, 0x10d65}
	newLower  = between{0x1c8a, 0x1c8a, 0xa7cd, 0xa7cd, 0xa7db, 0xa7db, 0x10d70, 0x10d85}
	newModify = between{0x10d4e, 0x10d4e, 0x10d6f, 0x10d6f, 0x16d40, 0x16d42, 0x16d6b, 0x16d6c}
	newOther  = between{
		0x105c0, 0x105f3, 0x10d4a, 0x10d4d, 0x10d4f, 0x10d4f, 0x10ec2, 0x10ec4, 0x11380, 0x11389, 0x1138b, 0x1138b,
		0x1138e, 0x1138e, 0x11390, 0x113b5, 0x113b7, 0x113b7, 0x113d1, 0x113d1, 0x113d3, 0x113d3, 0x11bc0, 0x11be0,
		0x13460, 0x143fa, 0x16100, 0x1611d, 0x16d43, 0x16d6a, 0x18cff, 0x18cff, 0x1e5d0, 0x1e5ed, 0x1e5f0, 0x1e5f0,
		0x2ebf0, 0x2ee5d,
	}
	newNumbers = between{
		0x10d40, 0x10d49, 0x116d0, 0x116e3, 0x11bf0, 0x11bf9, 0x16130, 0x16139, 0x16d70, 0x16d79, 0x1ccf0, 0x1ccf9,
		0x1e5f1, 0x1e5fa,
	}
	newMarks = between{
		0x897, 0x897, 0x10d69, 0x10d6d, 0x10efc, 0x10efc, 0x113b8, 0x113c0, 0x113c2, 0x113c2, 0x113c5, 0x113c5,
		0x113c7, 0x113ca, 0x113cc, 0x113d0, 0x113d2, 0x113d2, 0x113e1, 0x113e2, 0x11f5a, 0x11f5a, 0x1611e, 0x1612f,
		0x1e5ee, 0x1e5ef,
	}
	newPunctuation = between{
		0x1b4e, 0x1b4f, 0x1b7f, 0x1b7f, 0x10d6e, 0x10d6e, 0x113d4, 0x113d5, 0x113d7, 0x113d8, 0x11be1, 0x11be1,
		0x16d6d, 0x16d6f, 0x1e5ff, 0x1e5ff,
	}
	newSymbols = between{
		0x2427, 0x2429, 0x2ffc, 0x2fff, 0x31e4, 0x31e5, 0x31ef, 0x31ef, 0x10d8e, 0x10d8f, 0x1cc00, 0x1ccef,
		0x1cd00, 0x1ceb3, 0x1f8b2, 0x1f8bb, 0x1f8c0, 0x1f8c1, 0x1fa89, 0x1fa89, 0x1fa8f, 0x1fa8f, 0x1fabe, 0x1fabe,
		0x1fac6, 0x1fac6, 0x1fadc, 0x1fadc, 0x1fadf, 0x1fadf, 0x1fae9, 0x1fae9, 0x1fbcb, 0x1fbef,
	}
	newHan = between{0x2ebf0, 0x2ee5d}
	// newestNumbers are those of Unicode 17.0.
	newestNumbers = between{0x11de0, 0x11de9, 0x16ff4, 0x16ff6}
	// circled letters count as alphabetic.
	circled = between{0x24b6, 0x24e9, 0x1f130, 0x1f149, 0x1f150, 0x1f169, 0x1f170, 0x1f189}
	// raised digits of Latin-1, and its fractions.
	raised = between{0xb2, 0xb3, 0xb9, 0xb9, 0xbc, 0xbe}
	// unknownPunctuation came to Unicode after 2016.
	unknownPunctuation = between{
		0x61d, 0x61d, 0x9fd, 0x9fd, 0xa76, 0xa76, 0xc77, 0xc77, 0xc84, 0xc84, 0x1b7d, 0x1b7e, 0x2e43, 0x2e4f,
		0x2e52, 0x2e5d, 0x10ead, 0x10ead, 0x10f55, 0x10f59, 0x10f86, 0x10f89, 0x1144b, 0x1144f, 0x1145a, 0x1145b,
		0x1145d, 0x1145d, 0x11660, 0x1166c, 0x116b9, 0x116b9, 0x1183b, 0x1183b, 0x11944, 0x11946, 0x119e2, 0x119e2,
		0x11a3f, 0x11a46, 0x11a9a, 0x11a9c, 0x11a9e, 0x11aa2, 0x11b00, 0x11b09, 0x11c41, 0x11c45, 0x11c70, 0x11c71,
		0x11ef7, 0x11ef8, 0x11f43, 0x11f4f, 0x11fff, 0x11fff, 0x12ff1, 0x12ff2, 0x16e97, 0x16e9a, 0x16fe2, 0x16fe2,
		0x1e95e, 0x1e95f,
	}
)

func isLetter(r rune) bool {
	return unicode.IsLetter(r) || r > 0x1000 && (newUpper.has(r) || newLower.has(r) || newModify.has(r) || newOther.has(r))
}
func isUpper(r rune) bool    { return unicode.IsUpper(r) || newUpper.has(r) }
func isLower(r rune) bool    { return unicode.IsLower(r) || newLower.has(r) }
func isTitle(r rune) bool    { return unicode.IsTitle(r) }
func isModifier(r rune) bool { return unicode.Is(unicode.Lm, r) || newModify.has(r) }
func isOther(r rune) bool    { return unicode.Is(unicode.Lo, r) || newOther.has(r) }
func isNumber(r rune) bool   { return unicode.IsNumber(r) || newNumbers.has(r) }
func isDigit(r rune) bool    { return unicode.IsDigit(r) || newNumbers.has(r) }
func isMark(r rune) bool     { return unicode.IsMark(r) || newMarks.has(r) }
func isPunct(r rune) bool    { return unicode.IsPunct(r) || newPunctuation.has(r) }
func isSymbol(r rune) bool   { return unicode.IsSymbol(r) || newSymbols.has(r) }
func isHan(r rune) bool      { return unicode.Is(unicode.Han, r) || newHan.has(r) }

// isNumeric is for the pre-tokenizer Digits.
func isNumeric(r rune) bool { return isNumber(r) || newestNumbers.has(r) }

// isWord is \w of patterns: letters, marks, digits, connectors, and a few more.
func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return r == '_' || r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z'
	}
	return isLetter(r) || isMark(r) || isDigit(r) || unicode.In(r, unicode.Pc, unicode.Nl) || circled.has(r) || raised.has(r)
}

// isWordStrict is \w as Unicode's technical standard 18 has it: letters, marks, decimal
// digits, connectors and joiners.
func isWordStrict(r rune) bool {
	if r < utf8.RuneSelf {
		return isWord(r)
	}
	return isLetter(r) || isMark(r) || isDigit(r) || unicode.In(r, unicode.Pc, unicode.Nl, unicode.Other_Alphabetic) ||
		r == 0x200c || r == 0x200d
}

// isSeparator is what the pre-tokenizers for punctuation take for it.
func isSeparator(r rune) bool {
	if r < utf8.RuneSelf {
		return r > ' ' && r < 0x7f && !(isWord(r) && r != '_')
	}
	return unicode.IsPunct(r) && !unknownPunctuation.has(r) || r == 0x166d || r == 0x111c9
}

func runeLen(s string, i int) int {
	if s[i] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(s[i:])
	return n
}
