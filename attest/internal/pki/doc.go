// Package pki reads vendors' certificates and CRLs.
//
// It answers one question: does this chain of certificates lead to the one
// certificate that was pinned, every link in the form its vendor documents, and
// did any of its issuers withdraw a link? It stands on the relying party's side
// of the trust boundary; all it reads comes from a stranger, except the pinned
// root.
//
// crypto/x509's own path building is not used: it accepts any of several paths
// and algorithms, knows usages that these vendors do not have and none of their
// extensions, and does not say which rule was broken. Here a chain has one
// order, one signature algorithm and one kind of key.
//
// Certificates of the form that the vendors' have in common are also read here;
// all others are crypto/x509's to judge (docs/rfc/005).
package pki
