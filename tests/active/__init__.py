"""The active mode on real Karpenter, as its own process under the rights that ship."""
