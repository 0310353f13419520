package dcap

import (
	"fmt"
	"strings"
)

// NameBits lists the words for the bits that are set, and at the end those without
// one as a number; "none" if no bit is set.
func NameBits[Mask ~uint64](set Mask, names []struct {
	Bit  Mask
	Name string
}) string {
	if set == 0 {
		return "none"
	}
	var words []string
	for _, n := range names {
		if set&n.Bit != 0 {
			words = append(words, n.Name)
			set &^= n.Bit
		}
	}
	if set != 0 {
		words = append(words, fmt.Sprintf("%#x", uint64(set)))
	}
	return strings.Join(words, " ")
}
