package snp

import (
	"fmt"
	"strings"
)

// Product is a processor line with its own AMD root key. The zero value is
// unknown and is never accepted.
type Product uint8

const (
	Milan Product = 1 // EPYC 7003, Zen 3
	Genoa Product = 2 // EPYC 9004 and 8004, Zen 4 and Zen 4c (Genoa, Bergamo, Siena)
	Turin Product = 3 // EPYC 9005, Zen 5 and Zen 5c
)

// String returns the name as AMD writes it in its URLs, or "unknown".
func (p Product) String() string {
	switch p {
	case Milan:
		return "Milan"
	case Genoa:
		return "Genoa"
	case Turin:
		return "Turin"
	}
	return "unknown"
}

// Valid reports whether p is a product this build knows.
func (p Product) Valid() bool { return p >= Milan && p <= Turin }

// MarshalText makes JSON say "Genoa" rather than 2.
func (p Product) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// ParseProduct is the inverse of [Product.String]. Names are exact.
func ParseProduct(name string) (Product, error) {
	for p := Milan; p <= Turin; p++ {
		if p.String() == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("snp: unknown product %q, expected Milan, Genoa or Turin", name)
}

// productOfCPUID maps the combined family and model of a report of version 3
// and later (AMD 56860, CPUID_FAM_ID, CPUID_MOD_ID and CPUID_STEP) to the product
// line whose keys AMD's key distribution service serves for it. It returns 0 for
// every processor that has no SEV-SNP root here. A stepping has four bits
// (AMD 24594, CPUID Fn0000_0001_EAX).
func productOfCPUID(family, model, stepping uint8) Product {
	switch {
	case stepping > 0x0f:
		return 0
	case family == 0x19 && model <= 0x0f:
		return Milan
	case family == 0x19 && model >= 0x10 && model <= 0x1f:
		return Genoa
	case family == 0x19 && model >= 0xa0 && model <= 0xaf: // Zen 4c: Bergamo, Siena
		return Genoa
	case family == 0x1a && model <= 0x11: // up to and including Turin Dense
		return Turin
	}
	return 0
}

// productOfCertificate reads the productName extension of a VCEK or VLEK
// (AMD 57230, table of extensions): the line's name, for some lines followed by
// "-" and a stepping such as B0.
func productOfCertificate(name string) (Product, error) {
	line, stepping, has := strings.Cut(name, "-")
	if has && !isStepping(stepping) {
		return 0, fmt.Errorf("snp: product name %q, expected a stepping such as B0 after the dash", name)
	}
	return ParseProduct(line)
}

func isStepping(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= '0' && s[1] <= '9'
}
