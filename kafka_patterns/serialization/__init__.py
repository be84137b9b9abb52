"""Payloads to bytes and back: NestJS's rules, typed payloads, serializers of users."""
