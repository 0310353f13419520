package freshness

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"
)

// The outer parts of an OCSP response (RFC 6960, 4.2.1), down to its dates.
type ocspResponse struct {
	Status asn1.Enumerated
	Bytes  struct {
		Type     asn1.ObjectIdentifier
		Response []byte
	} `asn1:"explicit,tag:0,optional"`
}

type basicResponse struct {
	Data responseData
	Alg  pkix.AlgorithmIdentifier
	Sig  asn1.BitString
	Rest asn1.RawValue `asn1:"explicit,tag:0,optional"`
}

type responseData struct {
	Version   int           `asn1:"optional,default:0,explicit,tag:0"`
	Responder asn1.RawValue // by name or by key
	Produced  time.Time     `asn1:"generalized"`
	Responses []singleResponse
	Ext       asn1.RawValue `asn1:"explicit,tag:1,optional"`
}

type singleResponse struct {
	Cert   asn1.RawValue
	Status asn1.RawValue
	This   time.Time     `asn1:"generalized"`
	Next   time.Time     `asn1:"generalized,explicit,tag:0,optional"`
	Ext    asn1.RawValue `asn1:"explicit,tag:1,optional"`
}

func readOCSP(der []byte) (Facts, error) {
	var outer ocspResponse
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) != 0 {
		return Facts{}, errors.New("freshness: not one OCSP response")
	}
	if outer.Status != 0 {
		return Facts{}, fmt.Errorf("freshness: OCSP responder status %d, expected 0 (successful)", outer.Status)
	}
	var basic basicResponse
	if rest, err := asn1.Unmarshal(outer.Bytes.Response, &basic); err != nil || len(rest) != 0 {
		return Facts{}, errors.New("freshness: not one basic OCSP response")
	}
	if len(basic.Data.Responses) != 1 {
		return Facts{}, fmt.Errorf("freshness: OCSP response for %d certificates, expected 1", len(basic.Data.Responses))
	}
	one := basic.Data.Responses[0]
	return Facts{From: one.This, Until: one.Next, Issuer: "OCSP responder"}, nil
}
