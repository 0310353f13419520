package egress

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"testing"
)

// hello builds a ClientHello in one record.
func hello(extensions ...[]byte) []byte {
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0, 0, 2, 0x13, 1, 1, 0)
	if extensions != nil {
		all := bytes.Join(extensions, nil)
		body = append(binary.BigEndian.AppendUint16(body, uint16(len(all))), all...)
	}
	return record(message(body))
}

func message(body []byte) []byte {
	n := len(body)
	return append([]byte{1, byte(n >> 16), byte(n >> 8), byte(n)}, body...)
}

func record(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{22, 3, 1}, uint16(len(b))), b...)
}

func extension(id uint16, body ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...)
}

func named1(name string) []byte {
	n := len(name)
	return extension(0, append([]byte{byte((n + 3) >> 8), byte(n + 3), 0, byte(n >> 8), byte(n)}, name...)...)
}

func TestServerName(t *testing.T) {
	whole := hello(named1("A.example"))
	inner := whole[5:]
	const none, more = "", "more"
	for name, row := range map[string]struct {
		b    []byte
		want string
		why  Reason
	}{
		"a name":                     {whole, "a.example", ""},
		"in two records":             {append(record(inner[:20]), record(inner[20:])...), "a.example", ""},
		"in records of one byte":     {split(inner), "a.example", ""},
		"another record behind":      {append(bytes.Clone(whole), 20, 3, 3, 0, 1, 1), "a.example", ""},
		"no extensions":              {hello(), none, ""},
		"no name":                    {hello(extension(16)), none, ""},
		"crypto/tls":                 {clientHello(t, &tls.Config{ServerName: "a.example"}), "a.example", ""},
		"crypto/tls, TLS 1.2":        {clientHello(t, &tls.Config{ServerName: "a.example", MaxVersion: tls.VersionTLS12}), "a.example", ""},
		"one byte":                   {whole[:1], more, ""},
		"all but one byte":           {whole[:len(whole)-1], more, ""},
		"a record with more to come": {with(whole, 4, byte(len(inner)+1)), more, ""},
		"two records, one there":     {record(inner[:20]), more, ""},
		"HTTP":                       {[]byte("GET / HTTP/1.1\r\n"), none, NoTLS},
		"another version of records": {with(whole, 1, 2), none, NoTLS},
		"an alert":                   {with(whole, 0, 21), none, NoTLS},
		"a ServerHello":              {with(whole, 5, 2), none, NoTLS},
		"an empty record":            {[]byte{22, 3, 1, 0, 0}, none, NoTLS},
		"a record that is too long":  {[]byte{22, 3, 1, 0x40, 1}, none, NoTLS},
		"a hello that is too long":   {[]byte{22, 3, 1, 0x40, 0, 1, 0, 0x40, 1}, none, NoTLS},
		"a message behind":           {record(append(bytes.Clone(inner), 1)), none, NoTLS},
		"two names of servers":       {hello(named1("a.example"), named1("a.example")), none, NoTLS},
		"two of another extension":   {hello(extension(7), extension(7)), none, NoTLS},
		"two names in one":           {hello(extension(0, 0, 10, 0, 0, 2, 'a', 'b', 0, 0, 2, 'c', 'd')), none, NoTLS},
		"another kind of name":       {hello(extension(0, 0, 5, 1, 0, 2, 'a', 'b')), none, NoTLS},
		"a byte behind the list":     {hello(extension(0, 0, 5, 0, 0, 2, 'a', 'b', 9)), none, NoTLS},
		"an empty list":              {hello(extension(0, 0, 0)), none, NoTLS},
		"an empty extension":         {hello(extension(0)), none, NoTLS},
		"an empty name":              {hello(named1("")), none, NoTLS},
		"an address":                 {hello(named1("10.0.0.1")), none, NoTLS},
		"a final dot":                {hello(named1("a.example.")), none, NoTLS},
		"a zero in the name":         {hello(named1("a.example\x00.b.example")), none, NoTLS},
		"ECH":                        {hello(named1("a.example"), extension(0xfe0d, 1)), none, HiddenName},
		"ESNI":                       {hello(extension(0xffce, 1)), none, HiddenName},
		"extensions cut off":         {record(message(append(inner[4:43:43], 0, 9, 1))), none, NoTLS},
		"a byte behind extensions":   {record(message(append(bytes.Clone(inner[4:]), 9))), none, NoTLS},
		"an extension cut off":       {hello([]byte{0, 7, 0}), none, NoTLS},
		"nothing but a version":      {record(message([]byte{3, 3})), none, NoTLS},
	} {
		t.Run(name, func(t *testing.T) {
			got, done, err := serverName(row.b)
			if reasonOf(err, "") != row.why || done != (row.why == "" && row.want != more) || done && got != row.want || !done && got != "" {
				t.Errorf("%q, %v, %v, expected %q %q", got, done, err, row.want, row.why)
			}
		})
	}
	for i := range whole {
		if _, done, err := serverName(whole[:i]); done || err != nil {
			t.Errorf("%d bytes of %d: %v, %v", i, len(whole), done, err)
		}
	}
}

func split(b []byte) []byte {
	var all []byte
	for i := range b {
		all = append(all, record(b[i:i+1])...)
	}
	return all
}

func FuzzClientHello(f *testing.F) {
	f.Add(hello(named1("a.example")))
	f.Add(hello(named1("a.example"), extension(0xfe0d, 1)))
	f.Add(hello())
	f.Add(split(hello(named1("a.example"))[5:]))
	f.Add(clientHello(f, &tls.Config{ServerName: "a.example"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		name, done, err := serverName(b)
		if !bytes.Equal(b, before) {
			t.Error("the bytes were changed")
		}
		if host, ok := hostName(name); name != "" && (!ok || host != name || !done || err != nil) {
			t.Errorf("%q, %v, %v", name, done, err)
		}
		if done && err != nil {
			t.Error("done and an error")
		}
		if !done && err == nil {
			return
		}
		// More bytes change nothing that was decided.
		again, sure, err2 := serverName(append(before, 20, 3, 3, 0, 1, 1))
		if done && (again != name || !sure) || err != nil && err2 == nil {
			t.Errorf("%q %v %v, then %q %v %v", name, done, err, again, sure, err2)
		}
	})
}
