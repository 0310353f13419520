// Package witness has a test that needs a condition of package toy.
package witness
