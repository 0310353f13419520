package egress

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

// ask writes a question as programs do.
func ask(name string, kind uint16, more ...byte) []byte {
	b := []byte{0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for _, l := range strings.Split(name, ".") {
		if l != "" {
			b = append(append(b, byte(len(l))), l...)
		}
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = append(b, 0, classIN)
	return append(b, more...)
}

func with(b []byte, at int, v ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], v)
	return b
}

func TestParseQuestion(t *testing.T) {
	good := ask("a.example", typeA)
	edns := append(with(good, 11, 1), 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0)
	for name, row := range map[string]struct {
		message []byte
		want    string // "-" for an error
	}{
		"plain":                  {good, "a.example"},
		"mixed case":             {ask("A.exAmple", typeA), "a.example"},
		"root":                   {ask("", typeA), ""},
		"EDNS":                   {edns, "a.example"},
		"no host name":           {ask("a b.example", typeA), ""},
		"a dot inside a label":   {with(ask("aXb.example", typeA), 14, '.'), ""},
		"empty":                  {nil, "-"},
		"short header":           {good[:11], "-"},
		"header alone":           {good[:12], "-"},
		"an answer":              {with(good, 2, 0x81), "-"},
		"another opcode":         {with(good, 2, 0x09), "-"},
		"truncated flag":         {with(good, 2, 0x03), "-"},
		"no question":            {with(good, 5, 0), "-"},
		"two questions":          {with(good, 5, 2), "-"},
		"an answer record":       {with(good, 7, 1), "-"},
		"an authority record":    {with(good, 9, 1), "-"},
		"two additional records": {with(edns, 11, 2), "-"},
		"bytes behind":           {append(bytes.Clone(good), 0), "-"},
		"class CH":               {with(good, len(good)-1, 3), "-"},
		"compressed":             {with(good, 12, 0xc0, 0x0c), "-"},
		"label of 64, all there": {ask(strings.Repeat("a", 64)+".example", typeA), "-"},
		"label cut off":          {bytes.Clone(good[:13]), "-"},
		"label of 64":            {with(good, 12, 64), "-"},
		"name without end":       {good[:len(good)-5], "-"},
		"type cut off":           {good[:len(good)-3], "-"},
		"name of 254":            {ask(strings.Repeat("a.", 126)+"bb", typeA), "-"},
		"name of 253":            {ask(strings.Repeat("a.", 126)+"b", typeA), strings.Repeat("a.", 126) + "b"},
		"too long":               {append(with(good, 11, 1), make([]byte, maxQuestion)...), "-"},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := parseQuestion(row.message)
			if (err != nil) != (row.want == "-") || err == nil && q.name != row.want || err != nil && q != nil {
				t.Errorf("%+v, %v, expected %q", q, err, row.want)
			}
		})
	}
}

func TestAnswer(t *testing.T) {
	star := destination("*.wild.example", 443)
	p := newProxy(t, allow(destination("a.example", 443), star), nil)
	question := hex.EncodeToString(ask("A.example", typeA)[12:])
	for _, row := range []struct {
		name    string
		message []byte
		want    string
	}{
		{"a name", ask("A.example", typeA), "abcd8580" + "0001000100000000" + question + "c00c00010001" + "0000003c" + "0004" + "c6121000"},
		{"any record", ask("A.example", typeAny), "abcd8580" + "0001000100000000" + strings.Replace(question, "00010001", "00ff0001", 1) + "c00c00010001" + "0000003c" + "0004" + "c6121000"},
		{"IPv6", ask("A.example", 28), "abcd8580" + "0001000000000000" + strings.Replace(question, "00010001", "001c0001", 1)},
		{"no recursion desired", with(ask("A.example", typeA), 2, 0), "abcd8480" + "0001000100000000" + question + "c00c00010001" + "0000003c" + "0004" + "c6121000"},
		{"another name", ask("B.example", typeA), "abcd8583" + "0001000000000000" + strings.Replace(question, "0141", "0142", 1)},
		{"another class", with(ask("A.example", typeA), 26, 3), "abcd8101" + "0000000000000000"},
		{"another opcode", with(ask("A.example", typeA), 2, 0x29), "abcda904" + "0000000000000000"},
		{"an answer", with(ask("A.example", typeA), 2, 0x81), ""},
		{"nothing", nil, ""},
	} {
		if got := hex.EncodeToString(p.answer(row.message)); got != row.want {
			t.Errorf("%s:\n%s, expected\n%s", row.name, got, row.want)
		}
	}
	counts(t, p, NameRefused, 1, BadDNS, 4)
	for i := range poolSize - 1 {
		p.answer(ask(fmt.Sprintf("x%d.wild.example", i), typeA))
	}
	if got := hex.EncodeToString(p.answer(ask("one-more.wild.example", typeA))[:8]); got != "abcd858200010000" {
		t.Errorf("the pool is used up: %s", got)
	}
	counts(t, p, NameRefused, 1, BadDNS, 4, TooManyNames, 1)
}

// moody is a socket that fails once for a while, and then for good.
type moody struct {
	net.PacketConn
	errs []error
}

func (m *moody) ReadFrom([]byte) (int, net.Addr, error) {
	err := m.errs[0]
	m.errs = m.errs[1:]
	return 0, nil, err
}

func TestAnswerGoesOn(t *testing.T) {
	p := newProxy(t, allow(), nil)
	gone := errors.New("gone")
	m := &moody{errs: []error{&net.OpError{Err: syscall.EMFILE}, gone}}
	if err := p.answerDNS(m); !errors.Is(err, gone) || len(m.errs) != 0 {
		t.Errorf("%v", err)
	}
}

func FuzzDNS(f *testing.F) {
	f.Add(ask("a.example", typeA))
	f.Add(ask("x.wild.example", 28))
	f.Add(append(with(ask("a.example", typeA), 11, 1), 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0))
	f.Add(ask("", 255))
	rs, err := compile(allow(destination("a.example", 443), destination("*.wild.example", 443)))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		q, err := parseQuestion(message)
		if err != nil {
			if c := complain(message); c != nil && (len(c) != dnsHeader || c[2]&0x80 == 0) {
				t.Errorf("complaint %x", c)
			}
			return
		}
		if host, ok := hostName(q.name); q.name != "" && (!ok || host != q.name) {
			t.Errorf("name %q", q.name)
		}
		a, why := newNames(rs, false).address(q.name)
		if (why == "") != rs.knows(q.name) || why != "" && a.IsValid() {
			t.Errorf("%q: %s %q", q.name, a, why)
		}
		answer := q.answer(rcodeOK, netip.MustParseAddr("198.18.16.0"))
		if len(answer) > maxQuestion+16 || !bytes.Equal(answer[:2], message[:2]) || !bytes.HasPrefix(answer[dnsHeader:], q.raw) {
			t.Errorf("answer %x", answer)
		}
	})
}
