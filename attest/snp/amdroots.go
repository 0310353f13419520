package snp

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/pem"
	"fmt"
)

// amdFiles holds AMD's certificates; roots/ORIGIN.md says where they are from.
//
//go:embed roots/*.pem
var amdFiles embed.FS

// amdPins names each of AMD's certificates by the SHA-256 of its whole DER
// encoding. Pinning the certificate rather than its key also fixes the validity
// and the constraints that AMD signed with it.
func amdPins() []amdRoot {
	return []amdRoot{
		{Milan, "milan",
			"69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
			"67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b",
			"c5e081f59b7efab1fe2f8b505e159704e72f29cab7ef7cf628a05a42439082f5"},
		{Genoa, "genoa",
			"4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
			"5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521",
			"197e610743a917d6b9bb982a5a9226ccc0a15b611be0619e626aca9151457372"},
		{Turin, "turin",
			"1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
			"5b77ef5fe7a7a004fd9032668fba9d0fda22f88c4442069a479636a6ae3b3185",
			"104e10a8bd060a3c20a434261a57d0588fd65a88915b4f65b08bdecaf8df1a3c"},
	}
}

type amdRoot struct {
	product        Product
	file           string
	ark, ask, asvk string // SHA-256 of the DER, hex
}

func (a amdRoot) load() (Root, error) {
	r := Root{Product: a.product}
	for _, c := range []struct {
		name, pin string
		der       *[]byte
	}{{"ark_", a.ark, &r.ARK}, {"ask_", a.ask, &r.ASK}, {"asvk_", a.asvk, &r.ASVK}} {
		text, err := amdFiles.ReadFile("roots/" + c.name + a.file + ".pem")
		if err != nil {
			return Root{}, fmt.Errorf("snp: read AMD's certificate: %w", err)
		}
		if *c.der, err = pinned(text, c.pin); err != nil {
			return Root{}, fmt.Errorf("snp: %s%s: %w", c.name, a.file, err)
		}
	}
	return r, nil
}

// pinned returns the DER of the first certificate in text if its SHA-256 is pin.
func pinned(text []byte, pin string) ([]byte, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("expected a certificate in PEM")
	}
	if got := sha256.Sum256(block.Bytes); hex.EncodeToString(got[:]) != pin {
		return nil, fmt.Errorf("SHA-256 %x, expected the pinned %s", got, pin)
	}
	return block.Bytes, nil
}
