package policy

import "slices"

// shadows compares who is taken for whom. Several entries can be about the same person:
// all certificates of an authority, and the one for bob. The most specific holds (see
// package callers), so that where the entry for bob goes, bob is not gone: he is
// everybody now, and may do what everybody may.
func (d *differ) shadows(a, b []Caller, section string) {
	at := func(list []Caller, c *Caller) int {
		return slices.IndexFunc(list, func(one Caller) bool { return one.identity() == c.identity() })
	}
	for i := range b {
		behind := &b[i]
		was := at(a, behind)
		if was < 0 {
			continue // it is new, and all that it may is
		}
		for j := range a {
			before := &a[j]
			if !a[j].shadows(j, &a[was], was) {
				continue
			}
			now := at(b, before)
			switch {
			case now < 0:
				d.addAt(section, before.Line, behind.Line, true, false, "who was %s can be %s", before.Name, behind.Name)
			case !b[now].shadows(now, behind, i):
				d.addAt(section, before.Line, behind.Line, true, true, "who is %s and %s is now the latter", before.Name, behind.Name)
			}
		}
		for j := range b {
			if at(a, &b[j]) < 0 && b[j].shadows(j, behind, i) {
				d.addAt(section, a[was].Line, b[j].Line, false, true, "who is %s is %s no longer", b[j].Name, behind.Name)
			}
		}
	}
}

// shadows reports whether there can be somebody who is c, at its place in a document,
// and would else be other.
func (c *Caller) shadows(place int, other *Caller, otherPlace int) bool {
	if place == otherPlace || !c.overlaps(other) {
		return false
	}
	mine, others := c.specific(), other.specific()
	return mine > others || mine == others && place < otherPlace
}

// specific says how much an entry asks, by the measure of package callers.
func (c *Caller) specific() int {
	switch {
	case c.Certificate != nil:
		return len(c.Certificate.SPIFFE) + len(c.Certificate.Subject)
	case c.OIDC != nil:
		return len(c.OIDC.Claims)
	}
	return 0
}

// overlaps reports whether one certificate or one token can be that of both. With any
// other pair it is the sender's choice what he shows, before and after.
func (c *Caller) overlaps(other *Caller) bool {
	switch {
	case c.Certificate != nil && other.Certificate != nil:
		x, y := c.Certificate, other.Certificate
		differ := func(x, y string) bool { return x != "" && y != "" && x != y }
		return x.CA == y.CA && !differ(x.SPIFFE, y.SPIFFE) && !differ(x.Subject, y.Subject)
	case c.OIDC != nil && other.OIDC != nil:
		return c.OIDC.overlaps(other.OIDC)
	}
	return false
}

func (o *OIDC) overlaps(other *OIDC) bool {
	if o.Issuer != other.Issuer {
		return false
	}
	for name, value := range o.Claims {
		if also, asked := other.Claims[name]; asked && also != value {
			return false
		}
	}
	// A token for several audiences is good for the one that it was given to, unless
	// an entry says itself whom it may have been given to.
	_, one := o.Claims["azp"]
	_, two := other.Claims["azp"]
	return o.Audience == other.Audience || one || two
}
