"""The shared part of the components of Amazon's services: keys, signatures, both protocols, messages.

It is no component of its own: `halflap.sns` and `halflap.sqs` are.
"""
