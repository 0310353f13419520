package bundle

import (
	"bytes"
	"fmt"
	"strconv"
)

// block is the unit of a tar archive: a header is one, and contents are filled up to
// whole ones.
const block = 512

// Fields of a ustar header: IEEE Std 1003.1-1988, section 10.1.1.
const (
	atMode     = 100
	atOwner    = 108
	atGroup    = 116
	atSize     = 124
	atTime     = 136
	atChecksum = 148
	atType     = 156
	atLink     = 157
	atMagic    = 257
	atNames    = 265 // of owner and group
	atDevice   = 329
	atPrefix   = 345
	atPadding  = 500
)

// Magic and version of ustar, and those of GNU tar's own format.
const (
	magic    = "ustar\x0000"
	magicGNU = "ustar  \x00"
)

// Is says whether a file that begins with head, its first 512 bytes, is a tar archive,
// and so a bundle or nothing.
func Is(head []byte) bool {
	if len(head) < block {
		return false
	}
	said := string(head[atMagic : atMagic+len(magic)])
	return said == magic || said == magicGNU
}

// header is the only one that a bundle has for an entry.
func header(e Entry) (h [block]byte) {
	copy(h[:atMode], e.Name)
	copy(h[atMode:], "0000644")
	copy(h[atOwner:], "0000000")
	copy(h[atGroup:], "0000000")
	copy(h[atSize:], fmt.Sprintf("%011o", e.Size))
	copy(h[atTime:], "00000000000")
	h[atType] = '0'
	copy(h[atMagic:], magic)
	copy(h[atDevice:], "0000000\x000000000")
	copy(h[atChecksum:], "        ") // it is counted as if it were spaces
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[atChecksum:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// parse reads a header, and says of one in another form what is wrong with it.
func parse(h *[block]byte) (Entry, error) {
	switch string(h[atMagic : atMagic+len(magic)]) {
	case magic:
	case magicGNU:
		return Entry{}, fmt.Errorf("a header of GNU tar's own format, expected ustar")
	default:
		return Entry{}, fmt.Errorf("no ustar header")
	}
	if err := kind(h[atType]); err != nil {
		return Entry{}, err
	}
	if h[atPrefix] != 0 {
		return Entry{}, fmt.Errorf("a name with a folder in it, expected plain files side by side")
	}
	name, _, _ := bytes.Cut(h[:atMode], []byte{0})
	if !plain.Match(name) {
		return Entry{}, CheckName(string(name))
	}
	size, err := strconv.ParseUint(string(h[atSize:atTime-1]), 8, 33)
	if err != nil {
		return Entry{}, fmt.Errorf("size %q, expected 11 octal digits", h[atSize:atTime])
	}
	e := Entry{Name: string(name), Size: int64(size)}
	return e, differs(h, header(e))
}

// kind refuses what is no plain file.
func kind(flag byte) error {
	names := map[byte]string{
		'1': "a hard link", '2': "a symbolic link", '3': "a device", '4': "a device", '5': "a folder", '6': "a pipe",
		'x': "a pax header", 'g': "a pax header", 'L': "a header of GNU tar's own", 'K': "a header of GNU tar's own", 'S': "a sparse file",
	}
	name, known := names[flag]
	switch {
	case flag == '0':
		return nil
	case known:
		return fmt.Errorf("%s, expected a plain file", name)
	}
	return fmt.Errorf("an entry of type %q, expected a plain file", flag)
}

// differs names the first field that is not as expected.
func differs(got *[block]byte, want [block]byte) error {
	if *got == want {
		return nil
	}
	for _, field := range []struct {
		name     string
		from, to int
	}{
		{"name", 0, atMode}, {"mode", atMode, atOwner}, {"owner", atOwner, atGroup}, {"group", atGroup, atSize}, {"size", atSize, atTime},
		{"time", atTime, atChecksum}, {"link's target", atLink, atMagic}, {"owner's or group's name", atNames, atDevice},
		{"device", atDevice, atPrefix}, {"padding", atPadding, block}, {"checksum", atChecksum, atType},
	} {
		if g, w := got[field.from:field.to], want[field.from:field.to]; !bytes.Equal(g, w) {
			return fmt.Errorf("the header's %s is %.40q, expected %.40q", field.name, bytes.TrimRight(g, "\x00"), bytes.TrimRight(w, "\x00"))
		}
	}
	return fmt.Errorf("a header in another form than a bundle has")
}
